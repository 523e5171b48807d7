import pytest
from mmengine.config import ConfigDict

from rscc.models.caption_heads.diffusion_decoding import DiffusionDecoding


def test_the_defaults_are_those_of_the_paper_but_for_sampler_and_steps():
    options = DiffusionDecoding()
    assert (options.sigma_min, options.sigma_max, options.schedule) == (0.01, 160, 'karras')
    assert (options.guidance, options.clamp, options.abstain, options.num_samples) == (1, 0, 0, 1)


def test_samplers_and_schedules_come_with_options():
    options = DiffusionDecoding().updated(ConfigDict(
        sampler=dict(type='heun', s_churn=10.0), schedule=dict(type='karras', rho=5)))
    assert options.sampler['s_churn'] == 10 and options.as_dict()['schedule']['rho'] == 5


@pytest.mark.parametrize('changes, error, message', [
    (dict(sampler='dpmp_2m'), KeyError, "no sampler 'dpmp_2m'.* Did you mean 'dpmpp_2m'"),
    (dict(schedule='kerras'), KeyError, "no .*schedule 'kerras'.* Did you mean 'karras'"),
    (dict(sampler=dict(type='heun', s_chrun=1)), TypeError, "'heun' has no option 's_chrun'.* "
     "Did you mean 's_churn'"),
    (dict(schedule=dict(type='karras', roh=1)), TypeError, "'karras' has no option 'roh'.* "
     "mean 'rho'"),
    (dict(sampler=3), TypeError, r'is a name or dict\(type=name, \*\*options\), found 3'),
    (dict(num_step=3), TypeError, "decoding has no option 'num_step'.*Options: sampler, "),
    (dict(step=3), TypeError, "decoding has no option 'step'.* Did you mean 'steps'"),
    (dict(steps=0), ValueError, 'decoding steps=0 must be 1 or more'),
    (dict(num_samples=0), ValueError, 'decoding num_samples=0 must be 1 or more'),
    (dict(num_captions=-1), ValueError, 'decoding num_captions=-1 must be 1 or more'),
    (dict(sigma_min=0.0), ValueError, 'sigma_min=0.0 and sigma_max=160.0: expected 0 < sigma_min'),
    (dict(sigma_max=0.01), ValueError, 'sigma_min=0.01 and sigma_max=0.01: expected'),
    (dict(guidance=-1.0), ValueError, 'decoding guidance=-1.0 must be 0 or more'),
    (dict(clamp=-0.1), ValueError, 'decoding clamp=-0.1 must be 0 or more'),
    (dict(abstain=1.5, num_samples=2), ValueError, r'abstain=1.5 is an agreement in \[0, 1\]'),
    (dict(abstain=0.5), ValueError, 'abstain=0.5 with num_samples=1: one sentence always agrees')])
def test_impossible_options_are_refused_before_anything_runs(changes, error, message):
    with pytest.raises(error, match=message):
        DiffusionDecoding().updated(changes)
