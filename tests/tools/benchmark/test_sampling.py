import json

import pytest
from torch.utils.data import DataLoader

from rscc.registry import MODELS
from rscc.visualization.curves import draw_curves
from tools.benchmark.requests import Predictions
from tools.benchmark.sampling import (
    FEW_STEPS,
    Point,
    TestedModel,
    _check_same_data,
    _likeness,
    benchmark_sampling,
    columns,
    load_tested,
    panels,
    row,
)
from tools.benchmark.tables import say


def point(model='kd', way='dpmpp_2m', steps=10, **values):
    return Point(**dict(model=model, way=way, steps=steps, calls=steps or 0, changed_cider=20.,
                        cider=90., flag_accuracy=0.9, equal=0.5, similarity=0.981, agreement=None,
                        ms=2., image_ms=3.) | values)


def test_ten_steps_of_the_solver_are_judged_against_fifty():
    assert say(row(point(), 50, 1)[8], 'en') == '0.981 (target ≥ 0.98: met)'
    assert say(row(point(similarity=0.97), 50, 1)[8], 'en').endswith('missed)')
    for other, most in ((point(steps=8), 50), (point(), 32), (point(way='heun'), 50)):
        assert row(other, most, 1)[8] == '0.981'
    assert not FEW_STEPS.met(0.979)


def test_the_picture_names_samplers_where_there_are_several_and_the_other_model():
    points = [point(steps=1), point(), point(way='heun'),
              point('blip', 'greedy', None, similarity=None, changed_cider=50.)]
    quality, likeness, time = panels(points, baseline=40.)
    assert [curve.label for curve in quality.curves] == ['dpmpp_2m', 'heun']
    assert quality.levels == [('one constant sentence', 40.), ('blip, greedy', 50.)]
    assert quality.ticks == [1, 10] and len(likeness.curves) == 4
    assert [list(curve.x) for curve in time.curves] == [[5., 5.], [5.], [5.]]
    assert draw_curves([quality, likeness, time]).shape == (380, 1200, 3)
    lone = panels([point(changed_cider=None)], None)
    assert [curve.label for curve in lone[0].curves] == [''] and not lone[0].levels


def test_a_row_has_a_cell_for_every_column_and_blanks_for_what_is_not_known():
    for samples in (1, 4):
        assert len(row(point(), 50, samples)) == len(columns(50, samples))
    blank = row(point('blip', 'greedy', None, equal=None, similarity=None, calls=0), 50, 4)
    assert [blank[place] for place in (2, 3, 7, 8, 9)] == [''] * 5
    assert row(point(agreement=0.5), 50, 4)[9] == '0.500'
    assert row(point('blip', 'greedy', None, calls=9.5), 50, 1)[3] == '9.5'


SIDE = {f'{part}_dataloader.dataset.cache.size': (32, 32) for part in ('train', 'val', 'test')}


def test_images_are_encoded_once_and_every_request_is_run(trained, monkeypatch):
    config, checkpoint = trained('kdrscc_synth')
    BackboneEncoder = MODELS.get('BackboneEncoder')
    encoded, forward = [], BackboneEncoder.forward
    monkeypatch.setattr(BackboneEncoder, 'forward', lambda self, inputs: encoded.append(
        len(inputs)) or forward(self, inputs))
    found = benchmark_sampling(config, checkpoint, steps=(2, 1), samplers=('dpmpp_2m', 'heun'),
                               samples=2, batch_size=3, cfg_options=SIDE)
    assert encoded == [3, 3, 2]  # the first batch twice, to warm up
    assert [(point.way, point.steps, point.calls) for point in found.points] == [
        ('dpmpp_2m', 1, 1), ('dpmpp_2m', 2, 2), ('heun', 1, 1), ('heun', 2, 3)]
    assert [point.equal for point in found.points if point.steps == 2] == [1.0, 1.0]
    assert all(0 <= point.agreement <= 1 for point in found.points)
    assert found.baseline is not None
    assert '5 pairs of the test split' in say(found.section.notes[0], 'en')
    assert json.loads(json.dumps(found.as_json()))['points'][3]['calls'] == 3


def test_a_captioner_that_writes_word_by_word_stands_beside(trained):
    beside = [trained('blip_synth'), trained('kdrscc_masked_synth')]
    found = benchmark_sampling(*trained('kdrscc_synth'), steps=(1,), beside=beside, limit=2,
                               batch_size=2, cfg_options=SIDE)
    sampled, written, masked = found.points
    assert (masked.model, masked.way, masked.steps) == ('kdrscc_masked_synth', 'masks', 1)
    assert masked.calls == 1 and masked.equal == 1.0
    assert [curve.label for curve in panels(found.points, None)[0].curves] == [
        'kdrscc_synth, dpmpp_2m', 'kdrscc_masked_synth, masks']
    assert (written.model, written.way, written.steps) == ('blip_synth', 'greedy', None)
    assert written.similarity is None and written.calls > sampled.calls == 1
    assert 'agreement' not in str(found.section.columns)


def test_masks_have_a_table_of_their_own(trained):
    found = benchmark_sampling(*trained('kdrscc_masked_synth'), steps=(2, 1), limit=2,
                               batch_size=2, cfg_options=SIDE)
    assert [(point.way, point.calls) for point in found.points] == [('masks', 1), ('masks', 2)]
    assert found.section.name == 'sampling_masks'
    assert found.section.picture.name == 'sampling_steps_masks'


def test_likeness_counts_equal_captions_and_shared_words():
    ours, theirs = Predictions(['a house', 'no change']), Predictions(['a house', 'a road'])
    assert _likeness(ours, theirs, 'en') == (0.5, 0.5)
    assert _likeness(ours, None, 'en') == (None, None)


def test_bad_requests_are_refused(trained):
    config, checkpoint = trained('kdrscc_synth')
    with pytest.raises(KeyError, match=r"no sampler 'dpmp_2m'\. Did you mean 'dpmpp_2m'"):
        benchmark_sampling(config, checkpoint, samplers=('dpmp_2m',))
    with pytest.raises(ValueError, match='steps=0 must be 1 or more'):
        benchmark_sampling(config, checkpoint, steps=(0, 4))
    with pytest.raises(ValueError, match='--batch-size 0 and --limit None must be 1 or more'):
        load_tested(config, checkpoint, batch_size=0)
    with pytest.raises(ValueError, match=r"'blip_synth' writes word by word .*--beside"):
        benchmark_sampling(*trained('blip_synth'))
    with pytest.raises(ValueError, match='has no caption_head: there is no caption to measure'):
        load_tested(*trained('changeclip_rn50_synth'))
    with pytest.raises(FileNotFoundError, match=r'Did you mean .*kdrscc_synth'):
        load_tested(config.replace('synth', 'sinth'), checkpoint)


def test_models_on_different_data_do_not_stand_beside_each_other():
    def tested(name, pairs, language):
        return TestedModel(name, None, DataLoader(range(pairs)),
                           dict(dataset_type='Some', language=language), 'cpu')

    _check_same_data(tested('a', 5, 'en'), tested('b', 5, 'en'))
    for other in (tested('b', 4, 'en'), tested('b', 5, 'zh')):
        with pytest.raises(ValueError, match=r"'a' is tested on 5 samples of Some in 'en' and 'b' "
                                             r"on .*: models beside each other need the same data"):
            _check_same_data(tested('a', 5, 'en'), other)
