"""Quality against steps: with random weights on made-up pairs."""
import json

import pytest
from torch.utils.data import DataLoader

from rscc.apis.benchmark.answering import Answers
from rscc.apis.benchmark.report import say
from rscc.apis.benchmark.sampling_study import _check_same_data, _likeness, study_sampling
from rscc.apis.benchmark.tested_model import TestedModel, load_tested
from rscc.registry import MODELS

SIDE = {f'{part}_dataloader.dataset.cache.size': (32, 32) for part in ('train', 'val', 'test')}


def test_images_are_encoded_once_and_every_way_is_answered(trained, monkeypatch):
    config, checkpoint = trained('kdrscc_synth')
    BackboneEncoder = MODELS.get('BackboneEncoder')
    encoded, forward = [], BackboneEncoder.forward
    monkeypatch.setattr(BackboneEncoder, 'forward', lambda self, inputs: encoded.append(
        len(inputs)) or forward(self, inputs))
    study = study_sampling(config, checkpoint, steps=(2, 1), samplers=('dpmpp_2m', 'heun'),
                           samples=2, batch_size=3, cfg_options=SIDE)
    assert encoded == [3, 3, 2]  # the first batch twice, to warm up
    assert [(point.way, point.steps, point.calls) for point in study.points] == [
        ('dpmpp_2m', 1, 1), ('dpmpp_2m', 2, 2), ('heun', 1, 1), ('heun', 2, 3)]
    assert [point.equal for point in study.points if point.steps == 2] == [1.0, 1.0]
    assert all(0 <= point.agreement <= 1 for point in study.points)
    assert study.floor is not None and '5 pairs of the test split' in say(study.section.notes[0],
                                                                         'en')
    assert json.loads(json.dumps(study.as_json()))['points'][3]['calls'] == 3


def test_a_captioner_that_writes_word_by_word_stands_beside(trained):
    beside = trained('blip_synth')
    study = study_sampling(*trained('kdrscc_synth'), steps=(1,), beside=beside, limit=2,
                           batch_size=2, cfg_options=SIDE)
    sampled, written = study.points
    assert (written.model, written.way, written.steps) == ('blip_synth', 'greedy', None)
    assert written.similarity is None and written.calls > sampled.calls == 1
    assert 'agreement' not in str(study.section.columns)


def test_likeness_counts_equal_captions_and_shared_words():
    ours, theirs = Answers(['a house', 'no change']), Answers(['a house', 'a road'])
    assert _likeness(ours, theirs, 'en') == (0.5, 0.5)
    assert _likeness(ours, None, 'en') == (None, None)


def test_bad_requests_are_refused(trained):
    config, checkpoint = trained('kdrscc_synth')
    with pytest.raises(KeyError, match=r"no sampler 'dpmp_2m'\. Did you mean 'dpmpp_2m'"):
        study_sampling(config, checkpoint, samplers=('dpmp_2m',))
    with pytest.raises(ValueError, match='steps=0 must be 1 or more'):
        study_sampling(config, checkpoint, steps=(0, 4))
    with pytest.raises(ValueError, match='--batch-size 0 and --limit None must be 1 or more'):
        load_tested(config, checkpoint, batch_size=0)
    with pytest.raises(ValueError, match=r"'blip_synth' draws no captions from noise .*--beside"):
        study_sampling(*trained('blip_synth'))
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
