"""The text cache and the windows are compared on a real detector, a very narrow one."""
import pytest

from tools.benchmark import prompts
from tools.benchmark.prompts import PUBLISHED, SEEN, UNSEEN, benchmark_text, benchmark_windows
from tools.benchmark.tables import to_markdown
from tools.benchmark.timing import Timing


@pytest.fixture
def options():
    return dict(rounds=2, random_weights=True)


def test_three_ways_of_coming_by_the_texts(cells, detector, options):
    section = benchmark_text(detector, batch_size=2, **options)
    assert [row[2] for row in section.rows] == [PUBLISHED, UNSEEN, SEEN]
    off, unseen, seen = cells(section, 'texts x positions encoded')
    assert off == '8 x 77'  # two samples, two dates, two texts
    assert unseen.startswith('4 x ') and int(unseen.split()[-1]) < 77  # all but the background
    assert seen == '0'
    assert cells(section, 'share of off')[0] == '1.00'
    assert SEEN[1] in to_markdown(section, 'zh_cn')


def test_names_stay_unseen_in_every_round(detector, monkeypatch):
    seen = []
    predict = prompts.Steps.predict

    def note(steps, batch):
        before = steps.model.prompt_encoder.encoded
        samples = predict(steps, batch)
        seen.append(steps.model.prompt_encoder.encoded - before)
        return samples

    monkeypatch.setattr(prompts.Steps, 'predict', note)
    benchmark_text(detector, rounds=3, random_weights=True)
    first, *rest = seen  # the names that are to be known
    assert first == 3
    assert rest == [4, 2, 0] * 6  # once to count, twice to warm up, three times on the clock


def test_a_fixed_list_of_class_names_has_no_row_for_unseen_ones(cells, detector, options):
    fixed = {'model.prompter': dict(type='FixedPrompts', names=('road',), _delete_=True)}
    section = benchmark_text(detector, cfg_options=fixed, **options)
    assert cells(section, 'texts x positions encoded')[0] == '4 x 77'
    assert [row[2] for row in section.rows] == [PUBLISHED, SEEN]


@pytest.mark.parametrize(('size', 'precision', 'promised'), [
    (256, 'fp32', True), (256, 'bf16', False), (64, 'fp32', False)])
def test_the_share_is_judged_where_the_target_was_set(cells, detector, size, precision, promised):
    section = benchmark_text(detector, size=size, precisions=[precision], rounds=1,
                         random_weights=True)
    judged = ['target ≤ 0.65' in share for share in cells(section, 'share of off')]
    assert judged == [False, False, promised]


def test_windows_alone_and_in_batches(cells, detector, options):
    section = benchmark_windows(detector, size=128, crop=64, stride=32, window_batch=4, **options)
    assert cells(section, 'windows a call') == ['1', '1', '4']
    assert cells(section, 'text cache') == ['off', 'on', 'on']
    assert cells(section, 'windows') == ['9'] * 3
    assert cells(section, 'calls of the model') == ['9', '9', '3']
    assert cells(section, 'share of the first')[0] == '1.00'
    assert '窗口 64 x 64 像素，步长 32' in to_markdown(section, 'zh_cn')


@pytest.mark.slow
def test_a_large_image_has_49_windows_and_a_target(cells, detector, monkeypatch):
    monkeypatch.setattr(prompts.Comparison, 'time', lambda _self, calls, _title: {
        way: Timing((1.0,)) for way in calls})
    section = benchmark_windows(detector, random_weights=True)
    assert cells(section, 'windows') == ['49'] * 3
    assert cells(section, 'calls of the model') == ['49', '49', '7']
    assert cells(section, 'share of the first')[-1] == '1.00 (target ≤ 0.6: missed)'


def test_every_way_gives_the_same_map(detector, monkeypatch):
    maps = []
    predict = prompts.Steps.predict
    monkeypatch.setattr(prompts.Steps, 'predict', lambda steps, batch: maps.append(
        predict(steps, batch)[0].seg_logits.data) or [])
    benchmark_windows(detector, size=128, crop=64, stride=32, rounds=1, random_weights=True)
    assert all(maps[0].allclose(other, atol=1e-4) for other in maps[1:])


def test_a_captioner_and_impossible_windows_are_refused(light, detector, options):
    for benchmark in (benchmark_text, benchmark_windows):
        with pytest.raises(ValueError, match="fusion of 'blip_synth' encodes no class names"):
            benchmark(light, size=64, **options)
        with pytest.raises(ValueError, match="found 'tpu'"):
            benchmark(light, device='tpu')
    with pytest.raises(ValueError, match=r'test_cfg.stride=\(128, 128\)'):
        benchmark_windows(detector, size=128, crop=64, **options)
