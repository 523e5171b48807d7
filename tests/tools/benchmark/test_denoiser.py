"""Keys and values kept or not, a batch or one caption: with a tiny KD-RSCC."""
import pytest

from tools.benchmark import denoiser
from tools.benchmark.benchmarked_model import load_model
from tools.benchmark.denoiser import _sampler_of, benchmark_denoiser
from tools.benchmark.tables import say
from tools.benchmark.timing import Timing


@pytest.fixture
def options(narrow_kdrscc, tmp_path, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    monkeypatch.setattr(denoiser, '_PRODUCT', 32)
    return dict(random_weights=True, size=32, cfg_options=narrow_kdrscc)


def test_every_part_has_its_row_and_the_targets_are_judged(kdrscc, options):
    section = benchmark_denoiser(kdrscc, batch_size=3, rounds=1, steps=2, total=4,
                             precisions=['fp32', 'bf16'], **options)
    labels = [(say(row[0], 'en').split(',')[0].split(':')[0], row[1]) for row in section.rows]
    assert labels == [
        ('image branch', 'fp32'), ('denoiser call', 'fp32'), ('denoiser call', 'fp32'),
        ('share of the computed', 'fp32'), ('sampler', 'fp32'), ('sampler', 'bf16'),
        ('arithmetic', 'fp32'), ('arithmetic', 'bf16')]
    rows = [[say(cell, 'en') for cell in row] for row in section.rows]
    assert rows[0][4] == '' and all('target ≤ 0.65' in cell for cell in rows[3][3:5])
    assert all('target ≥ 4' in row[5] for row in rows[4:6])
    assert 'captions of 41 ids' in say(section.notes[0], 'en')


def test_kept_keys_and_values_are_operations_less(kdrscc, options):
    calls = denoiser._Parts(load_model(kdrscc, **options), 2, 2).single_calls()
    anew, kept = (denoiser.gflop_of(calls[name]) for name in ('anew', 'kept'))
    # Keys and values of 4 tokens: two products of 32 x 32 weights, 2 operations each.
    assert anew - kept == pytest.approx(2 * 4 * 32 * 32 * 2 / 1e9)


def test_all_steps_are_made_out_from_one_and_a_few():
    seconds = {('one step', 'fp32', 1): (2., 3.), ('some steps', 'fp32', 1): (5., 6.),
               ('kept', 'fp32', 1): (1., 1.)}
    times = {key: Timing(rounds) for key, rounds in seconds.items()}
    found = _sampler_of(50, 4, times)
    assert found['sampler', 'fp32', 1].rounds == (51., 52.)
    assert set(found) == {('sampler', 'fp32', 1), ('kept', 'fp32', 1)}
    assert _sampler_of(4, 4, times)['sampler', 'fp32', 1].rounds == (5., 6.)


def test_bad_requests_are_refused(kdrscc, light, options):
    for wrong in (dict(steps=1), dict(steps=9, total=8), dict(batch_size=1)):
        with pytest.raises(ValueError, match='expected at least 2 steps, no more than in total'):
            benchmark_denoiser(kdrscc, **wrong, **options)
    with pytest.raises(ValueError, match=r"'blip_synth' draws no captions from noise .*Blip.*take "
                                         'a config with KarrasCaptionHead'):
        benchmark_denoiser(light, random_weights=True, size=32)
