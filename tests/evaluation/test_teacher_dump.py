import pytest
from testers import data_samples

from rscc.registry import METRICS
from rscc.structures import ScoredCaption
from rscc.text.teacher_captions import read_teacher_captions


def dumped(tmp_path, captions, **options):
    samples = data_samples(len(captions))
    for place, (sample, told) in enumerate(zip(samples, captions, strict=True)):
        sample.set_metainfo(dict(sample_id=f's{place}', split='train'))
        sample.pred_captions = [ScoredCaption(*pair) for pair in told]
    metric = METRICS.build(dict(type='TeacherCaptionDump', out_file=str(tmp_path / 't.json'),
                                **options))
    metric.dataset_meta = dict(language='zh')
    metric.process(None, samples)
    assert metric.evaluate(len(samples)) == {}
    return read_teacher_captions(tmp_path / 't.json')


def test_different_sentences_are_kept_best_first(tmp_path):
    found = dumped(tmp_path, [[('b', -0.5), ('a', -0.1), ('b', -0.6), ('', -0.01), ('c', -0.9)],
                              [('d', -0.2)]], num=2)
    assert found.captions == {'s0': [('a', -0.1), ('b', -0.5)], 's1': [('d', -0.2)]}
    assert (found.language, found.split) == ('zh', 'train')


def test_fewer_than_one_sentence_is_refused(tmp_path):
    with pytest.raises(ValueError, match='num=0; expected 1 or more'):
        dumped(tmp_path, [[('a', -0.1)]], num=0)
