import pytest
from testers import data_samples

from rscc.registry import METRICS
from rscc.structures import ScoredCaption
from rscc.text.teacher_captions import read_teacher_captions
from rscc.utils import read_json


def dumped(tmp_path, captions, language='zh', references=None, **options):
    samples = data_samples(len(captions))
    for place, (sample, told) in enumerate(zip(samples, captions, strict=True)):
        sample.set_metainfo(dict(sample_id=f's{place}', split='train'))
        if references is not None:
            sample.gt_captions = references[place]
        sample.pred_captions = [ScoredCaption(*pair) for pair in told]
    metric = METRICS.build(dict(type='TeacherCaptionDump', out_file=str(tmp_path / 't.json'),
                                **options))
    metric.dataset_meta = dict(language=language)
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


def test_sentences_closest_to_those_of_people_come_first(tmp_path):
    # Of the first sample's references every word is in the second sentence, of the other's none.
    told = [[('x y z', -0.1), ('a house appears', -0.9)], [('x', -0.2), ('y', -0.3)]]
    found = dumped(tmp_path, told, order='closest', language='en',
                   references=[['a house appears', 'a house'], ['b']])
    (best, high), (_, low) = found.captions['s0']
    assert best == 'a house appears' and 0.5 < high < 1 and low == 0
    assert found.captions['s1'] == [('x', 0), ('y', 0)]
    assert read_json(tmp_path / 't.json')['teacher'] == {'order': 'closest'}


def test_closeness_needs_sentences_of_people_and_known_orders(tmp_path):
    with pytest.raises(ValueError, match="sample 's0' has no sentences by people"):
        dumped(tmp_path, [[('a', -0.1)]], order='closest', references=[[]])
    with pytest.raises(ValueError, match='close'):
        dumped(tmp_path, [[('a', -0.1)]], order='close')
