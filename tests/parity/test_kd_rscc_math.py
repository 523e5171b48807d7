"""The mathematics of Karras diffusion against numbers of KD-RSCC's and EDM's original code."""
import itertools
import json
import math
import re

import numpy as np
import pytest
import torch
from recordings import RECORDINGS, doubles, recording, skip_without
from rounding import FORMULA, LARGEST, UNIT, assert_within, moves_of, rounding

from rscc.engine.hooks.ema_hook import inverse_power_decay
from rscc.models.diffusion import choose, denoise, precondition
from rscc.models.diffusion.noise_levels import strata
from rscc.models.diffusion.preconditioning import edm_lambda
from rscc.models.diffusion.samplers import ancestral_split
from rscc.registry import LOSS_WEIGHTINGS, NOISE_DENSITIES, SAMPLERS, SIGMA_SCHEDULES

pytestmark = skip_without('kd_rscc')
STORED = 2 * UNIT  # what the original computed in float64 was rounded when it was stored
# Fixed by the recordings' README.
SAMPLER_CHURN = dict(s_churn=4, s_tmin=0.05, s_tmax=50, s_noise=1.003)
EDM_CHURN = dict(s_churn=6, s_tmin=0.05, s_tmax=40, s_noise=1.003)
LOG_LOGISTIC_SCALE, V_BOUNDS = 0.5, (1e-3, 1e3)
WEIGHTINGS = {'weight_karras': 'uniform', 'weight_soft_min_snr': 'soft_min_snr',
              'weight_snr': 'snr'}
SCHEDULES = {'karras': 'karras', 'exponential': 'exponential', 'polyexp': 'polyexponential'}


def load(name):
    return doubles(recording(f'kd_rscc/{name}.npz'))


def names_in(file, pattern):
    """Names of arrays to parametrize over; none where the recordings are absent."""
    path = RECORDINGS / 'kd_rscc' / f'{file}.npz'
    if not path.exists():
        return []
    with np.load(path) as arrays:
        return [name for name in arrays.files if re.fullmatch(pattern, name)]


def close(ours, recorded, moved=0.0):
    """Compare every value of a formula, allowing a share of itself and what ``moved`` adds."""
    off, allowed = (ours - recorded).abs(), FORMULA * recorded.abs() + moved
    assert (off <= allowed).all(), f'off by {off.tolist()}, allowed {allowed.tolist()}'


@pytest.fixture(scope='module')
def setting():
    return json.loads(recording('kd_rscc/meta.json').read_text())['setting']


@pytest.fixture(scope='module')
def edm():
    return load('edm_math')


@pytest.fixture(scope='module')
def toy():
    return load('samplers')


def bounds(setting):
    return dict(sigma_min=setting['smin'], sigma_max=setting['smax'])


@pytest.mark.parametrize('name', ['c_skip', 'c_out', 'c_in', 'c_noise'])
def test_preconditioning(edm, setting, name):
    close(getattr(precondition(edm['sigma'], setting['sigma_data']), name), edm[name])


@pytest.mark.parametrize('name', WEIGHTINGS)
def test_weighting(edm, setting, name):
    weigh = choose(LOSS_WEIGHTINGS, WEIGHTINGS[name])
    close(weigh(edm['sigma'], setting['sigma_data']), edm[name])


def test_weight_of_edm_in_terms_of_the_denoiser(edm, setting):
    close(edm_lambda(edm['sigma'], setting['edm_sd']), edm['edm_lambda'])


@pytest.mark.parametrize('name', names_in('edm_math', rf'({"|".join(SCHEDULES)})_\d+'))
def test_schedule(edm, setting, name):
    kind, steps = name.split('_')
    options = {} if kind == 'exponential' else dict(rho=setting['rho'])
    schedule = choose(SIGMA_SCHEDULES, dict(type=SCHEDULES[kind], **options))
    close(schedule(int(steps), **bounds(setting)), edm[name])


def density_of(name, setting):
    cosine = setting['density']
    return {
        'density_cosine_interpolated': dict(
            type='cosine_interpolated', image_size=cosine['image_d'],
            noise_low=cosine['noise_d_low'], noise_high=cosine['noise_d_high'],
            sigma_min=cosine['min_value'], sigma_max=cosine['max_value']),
        'density_lognormal': dict(type='lognormal', mean=-1.2, std=1.2),
        'density_loguniform': dict(type='log_uniform', **bounds(setting)),
        'density_v_diffusion': dict(type='v_diffusion', sigma_min=V_BOUNDS[0],
                                    sigma_max=V_BOUNDS[1]),
        'density_loglogistic': dict(
            type='log_logistic', location=math.log(setting['sigma_data']),
            scale=LOG_LOGISTIC_SCALE, **bounds(setting))}[name]


@pytest.mark.parametrize('name', names_in('edm_math', 'density_.*'))
def test_density(edm, setting, name):
    density = choose(NOISE_DENSITIES, density_of(name, setting))
    low, ours, high = (density((edm['u'] + shift).clamp(0, 1), sigma_data=setting['sigma_data'])
                       for shift in (-LARGEST * UNIT, 0, LARGEST * UNIT))
    # The steep ends of a density turn the rounding of u into more than a formula's.
    close(ours, edm[name], torch.maximum((high - ours).abs(), (low - ours).abs()))


@pytest.mark.parametrize('name', names_in('edm_math', r'strat_u_group\d+of\d+'))
def test_stratification(edm, name):
    group, groups = map(int, re.findall(r'\d+', name))
    close(strata(edm['strat_raw'], group, groups), edm[name])


@pytest.mark.parametrize('name', names_in('edm_math', 'ancestral_eta.*'))
def test_ancestral_split(edm, name):
    split = ancestral_split(*edm['ancestral_pairs'].T, float(name.removeprefix('ancestral_eta')))
    # The squares of both levels sum to that of the next: a small one is a difference.
    assert_within(torch.stack(split, 1), edm[name], FORMULA)


def test_decay_of_the_averaged_weights(edm, setting):
    decays = [inverse_power_decay(int(step), setting['ema_power'], setting['ema_max'])
              for step in edm['ema_steps']]
    close(torch.tensor(decays), edm['ema_decay'])


def test_every_array_of_edm_math_is_compared(edm):
    inputs = {'sigma', 'u', 'strat_raw', 'ema_steps', 'ancestral_pairs'}
    compared = {'c_skip', 'c_out', 'c_in', 'c_noise', 'edm_lambda', 'ema_decay', *WEIGHTINGS,
                *names_in('edm_math', rf'({"|".join(SCHEDULES)})_\d+'),
                *names_in('edm_math', '(density|ancestral_eta|strat_u_group).*')}
    assert set(edm) == inputs | compared


class Mixture:
    """The ideal denoiser of a Gaussian mixture, noting the levels it is called at."""

    def __init__(self, toy, components=slice(None), rounded=None):
        self.rounded = rounded
        self.mu, self.w, self.s = toy['mu'][components], toy['w'][components], toy['s']
        self.levels = []

    def __call__(self, x, sigma):
        assert x.dtype == torch.float64
        self.levels.append(float(sigma))
        v = self.s**2 + sigma**2
        squares = (x[..., None, :] - self.mu).square().sum(-1)
        r = (self.w.log() - squares / (2 * v)).softmax(-1)
        estimate = (self.s**2 * x + sigma**2 * (r @ self.mu)) / v
        return self.rounded(estimate, products_of_call(self.mu)) if self.rounded else estimate


def sampler_of(name):
    """The sampler and the number of steps, if other than n_main, that a recorded name means."""
    name, steps = re.fullmatch(r'(.+?)(?:_n(\d+))?', name).groups()
    if name == 'heun_churn':
        return dict(type='heun', **SAMPLER_CHURN), steps
    kind, variant, eta, order = re.fullmatch(
        r'(.+?)(?:_(heun|midpoint)(?=_eta))?(?:_eta([\d.]+))?(?:_order(\d+))?', name).groups()
    given = dict(variant=variant, eta=eta and float(eta), order=order and int(order))
    # The original takes the second divided difference for the second derivative.
    given['curvature'] = 0.5 if kind == 'dpmpp_3m_sde' else None
    return dict(type=kind, **{key: value for key, value in given.items() if value is not None}
                ), steps


def sigmas_of(steps, toy, edm):
    return toy['sigmas_main'] if steps is None else edm[f'karras_{steps}']


def sample(config, denoiser, x, sigmas, draws):
    """Return the result and what the callback saw; at most ``draws`` are drawn, in order."""
    draws, seen = iter(draws), []
    final = choose(SAMPLERS, config)(
        denoiser, x, sigmas, noise=lambda: next(draws),
        callback=lambda step, sigma, denoised: seen.append((step, float(sigma), denoised)))
    return final, seen


RUNS = [name.removesuffix('__nfe_sigmas') for name in names_in('samplers', '.*__nfe_sigmas')
        if not name.startswith('edm_')]


def products_of_call(mu):
    """Count what a call rounds: the distances, two sums over the components, the solver's step."""
    components, dims = mu.shape
    return dims + 2 * components + 32


@pytest.mark.parametrize('name', RUNS)
def test_sampler(toy, edm, setting, name):
    config, steps = sampler_of(name)

    def compute(rounded):
        denoiser = Mixture(toy, rounded=rounded)
        final, seen = sample(config, denoiser, setting['smax'] * toy['z'],
                             sigmas_of(steps, toy, edm), toy['noise'])
        return {name: final, f'{name}__nfe_sigmas': torch.tensor(denoiser.levels),
                f'{name}__denoised_trace': torch.stack([denoised for _, _, denoised in seen])}

    ours, moves = moves_of(compute)
    levels = ours.pop(f'{name}__nfe_sigmas')
    close(levels, toy[f'{name}__nfe_sigmas'])
    share = rounding(len(levels) * products_of_call(toy['mu']))
    for part, values in ours.items():
        if part in toy:
            assert_within(values, toy[part], share, part, moves[part])


def test_the_main_schedule_is_karras(toy, setting):
    schedule = choose(SIGMA_SCHEDULES, dict(type='karras', rho=setting['rho']))
    close(schedule(setting['n_main'], **bounds(setting)), toy['sigmas_main'])


@pytest.mark.parametrize('name', names_in('samplers', r'gauss_dpmpp.*_n\d+'))
def test_sampler_on_one_gaussian(toy, edm, setting, name):
    config, steps = sampler_of(name.removeprefix('gauss_'))
    final, _ = sample(config, Mixture(toy, slice(0, 1)), setting['smax'] * toy['z'],
                      sigmas_of(steps, toy, edm), [])
    assert_within(final, toy[name], STORED)


def test_error_on_one_gaussian_falls_with_the_square_of_the_steps(toy, setting):
    errors = []
    for steps in (200, 400, 800):
        # Even steps of ln(sigma): the asymptotic order shows early.
        sigmas = choose(SIGMA_SCHEDULES, 'exponential')(steps, sigma_min=float(toy['s']) / 1000,
                                                        sigma_max=setting['smax'])
        final, _ = sample(dict(type='dpmpp_2m_sde', variant='heun', eta=0),
                          Mixture(toy, slice(0, 1)), setting['smax'] * toy['z'], sigmas, [])
        errors.append(float((final - toy['gauss_exact_sigma0']).square().mean().sqrt()))
    orders = [math.log2(first / second) for first, second in itertools.pairwise(errors)]
    assert orders == pytest.approx([2, 2], abs=0.15), (errors, orders)


@pytest.mark.parametrize(('name', 'churn'), [('edm_det', {}), ('edm_churn', EDM_CHURN)])
def test_algorithm_2_of_edm(toy, setting, name, churn):
    options = dict(setting['edm'])
    rho, steps = options.pop('rho'), options.pop('num_steps')
    sigmas = choose(SIGMA_SCHEDULES, dict(type='karras', rho=rho))(steps, **options)
    denoiser = Mixture(toy)
    final, seen = sample(dict(type='heun', **churn), denoiser, sigmas[0] * toy['z'], sigmas,
                         toy['noise'])
    assert_within(final, toy[name], STORED)
    assert_within(torch.tensor(denoiser.levels), toy[f'{name}__nfe_sigmas'], STORED)
    assert len(seen) == steps and len(denoiser.levels) == 2 * steps - 1


def test_preconditioned_network(toy, setting):
    x, sigma = toy['precond_x'], toy['precond_sigma']

    def network(y, c_noise):
        return y.tanh() + c_noise.reshape(-1, *[1] * (y.ndim - 1))

    assert_within(denoise(network, x, sigma, setting['edm_sd']), toy['precond_D'], FORMULA)


def test_every_array_of_samplers_is_compared(toy):
    inputs = {'mu', 'w', 's', 'z', 'noise', 'precond_x', 'precond_sigma'}
    compared = {'sigmas_main', 'precond_D', 'gauss_exact_sigma0', *RUNS, 'edm_det', 'edm_churn',
                *names_in('samplers', r'gauss_dpmpp.*_n\d+')}
    traces = {f'{name}__{trace}' for name in compared for trace in ('nfe_sigmas', 'denoised_trace')}
    assert inputs | compared <= set(toy) <= inputs | compared | traces
