import functools

import pytest
import torch
from mmengine.config import ConfigDict

from rscc.models.diffusion.choose import choose, option_names
from rscc.models.diffusion.samplers.edm import heun
from rscc.models.diffusion.schedules import karras
from rscc.registry import LOSS_WEIGHTINGS, NOISE_DENSITIES, SAMPLERS, SIGMA_SCHEDULES


def test_a_name_is_the_function_itself_with_its_defaults():
    chosen = choose(SIGMA_SCHEDULES, 'karras')
    assert isinstance(chosen, functools.partial)
    assert (chosen.func, chosen.keywords) == (karras, {})


@pytest.mark.parametrize('kind', [dict, ConfigDict])
def test_options_of_a_config_are_filled_in_and_the_config_is_left_alone(kind):
    cfg = kind(type='karras', rho=3.0)
    chosen = choose(SIGMA_SCHEDULES, cfg)
    assert torch.equal(chosen(5, sigma_min=0.1, sigma_max=2.0),
                       karras(5, sigma_min=0.1, sigma_max=2.0, rho=3.0))
    assert cfg == dict(type='karras', rho=3.0)


@pytest.mark.parametrize(('registry', 'name', 'message'), [
    (SAMPLERS, 'dpmp_2m', "no sampler 'dpmp_2m'. Did you mean 'dpmpp_2m'"),
    (SIGMA_SCHEDULES, 'Karas', "no sigma schedule 'Karas'. Did you mean 'karras'"),
    (NOISE_DENSITIES, 'log_normal', "no noise density 'log_normal'. Did you mean 'lognormal'"),
    (LOSS_WEIGHTINGS, 'soft-min-snr', "no loss weighting 'soft-min-snr'. Did you mean "
                                      "'soft_min_snr'"),
    (LOSS_WEIGHTINGS, 'zzz', "'zzz'. Known are min_snr, snr, soft_min_snr, uniform")])
def test_unknown_name_suggests_the_nearest(registry, name, message):
    with pytest.raises(KeyError, match=message):
        choose(registry, name)


def test_unknown_option_suggests_the_nearest():
    with pytest.raises(TypeError, match=r"'karras' has no option 'roh'\. Did you "
                                        r"mean 'rho'"):
        choose(SIGMA_SCHEDULES, dict(type='karras', roh=3))
    with pytest.raises(TypeError, match=r"'exponential' has no option 'rho'\. Options: none"):
        choose(SIGMA_SCHEDULES, dict(type='exponential', rho=3))


@pytest.mark.parametrize(('registry', 'cfg'), [
    (SIGMA_SCHEDULES, dict(type='karras', sigma_min=0.1)), (SAMPLERS, dict(type='heun', noise=1)),
    (NOISE_DENSITIES, dict(type='lognormal', sigma_data=1)), (SAMPLERS, dict(type='lms', x=1))])
def test_what_the_caller_gives_is_no_option(registry, cfg):
    with pytest.raises(TypeError, match='has no option'):
        choose(registry, cfg)


@pytest.mark.parametrize('cfg', [None, 3, dict(rho=7), dict(type=karras)])
def test_neither_a_name_nor_a_config_is_an_error(cfg):
    with pytest.raises(TypeError, match=r'a sigma schedule is a name or dict.* found'):
        choose(SIGMA_SCHEDULES, cfg)


def test_options_are_the_parameters_with_a_default():
    assert option_names(heun) == ['s_churn', 's_tmin', 's_tmax', 's_noise']
