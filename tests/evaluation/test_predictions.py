"""Predictions of three forms beside references."""
import gzip
import json

import pytest

from rscc.evaluation import predictions as module
from rscc.evaluation.predictions import read_predictions, read_references
from rscc.utils import write_json


@pytest.fixture
def annotations(tmp_path):
    def image(name, split, *texts, **more):
        return dict(filename=f'{name}.png', split=split, sentences=[dict(raw=t) for t in texts],
                    **more)

    path = tmp_path / 'captions.json'
    write_json(path, dict(images=[
        image('test_2', 'test', ' there is no difference .'),
        image('test_1', 'test', ' a house is built .', changeflag=1),
        image('val_1', 'val', ' a road .')]))
    return path


@pytest.fixture
def references(annotations):
    return read_references(annotations, 'test')


def test_references_are_sorted_and_a_missing_flag_is_derived(references):
    assert list(references) == ['test_1', 'test_2']
    assert [record.changed for record in references.values()] == [True, False]


def test_a_plain_object_is_joined_by_name(tmp_path, references):
    write_json(tmp_path / 'p.json', {'test_2.png': 'b', 'test_1': 'a'})
    records = read_predictions(tmp_path / 'p.json', references)
    assert [(r.sample_id, r.prediction) for r in records] == [('test_1', 'a'), ('test_2', 'b')]


def test_lines_follow_the_sorted_names(tmp_path, references):
    (tmp_path / 'p.txt').write_text('a\nb\n')
    records = read_predictions(tmp_path / 'p.txt', references)
    assert [r.prediction for r in records] == ['a', 'b']
    (tmp_path / 'p.txt').write_text('a\n')
    with pytest.raises(ValueError, match='has 1 lines and the split has 2 samples: expected one'):
        read_predictions(tmp_path / 'p.txt', references)


def test_missing_ids_are_an_error_and_extra_ones_a_counted_warning(
        tmp_path, references, monkeypatch):
    write_json(tmp_path / 'p.json', {'test_1': 'a', 'tset_2': 'b'})
    with pytest.raises(ValueError, match=r'no prediction for 1 of 2 samples, first: test_2 '
                                         r'\(it has 1 unknown ids, first: tset_2\)'):
        read_predictions(tmp_path / 'p.json', references)
    said = []
    monkeypatch.setattr(module, 'warn', said.append)
    write_json(tmp_path / 'p.json', {'test_1': 'a', 'test_2': 'b', 'other': 'c'})
    assert len(read_predictions(tmp_path / 'p.json', references)) == 2
    assert len(said) == 1 and '1 predictions have no references' in said[0]


def test_samples_without_references_are_counted(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(module, 'warn', said.append)
    samples = [dict(sample_id='a', prediction='x', references=['y']),
               dict(sample_id='b', prediction='x', references=[]), dict(sample_id='c')]
    write_json(tmp_path / 'p.json', dict(samples=samples))
    assert [r.sample_id for r in read_predictions(tmp_path / 'p.json')] == ['a']
    assert '1 of 2 predictions have no references' in said[0]
    write_json(tmp_path / 'p.json', dict(samples=samples[1:]))
    with pytest.raises(ValueError, match='no sample with prediction and references: give'):
        read_predictions(tmp_path / 'p.json')


def test_wrong_files_say_what_was_expected(tmp_path, annotations, references):
    write_json(tmp_path / 'p.json', [1])
    with pytest.raises(ValueError, match='is no predictions file: expected the JSON of tools/test'):
        read_predictions(tmp_path / 'p.json', references)
    write_json(tmp_path / 'p.json', {'test_1': 'a'})
    with pytest.raises(ValueError, match=r'holds captions only: give --references'):
        read_predictions(tmp_path / 'p.json')
    with pytest.raises(ValueError, match=r"no split 'tset': it has test, val. Did you mean 'test'"):
        read_references(annotations, 'tset')
    with pytest.raises(ValueError, match="has no list 'images'"):
        read_references(tmp_path / 'p.json', 'test')
    with pytest.raises(FileNotFoundError, match='no such predictions file'):
        read_predictions(tmp_path / 'none.txt', references)
    with pytest.raises(FileNotFoundError, match='no such JSON file'):
        read_predictions(tmp_path / 'none.json', references)


def test_references_without_sentences_in_that_language_name_the_image(tmp_path, annotations):
    with pytest.raises(ValueError, match=r"'test_1\.png' needs a filename and sentences with "
                       r"'raw_chinese' or 'tokens_chinese' \(language 'zh'\); found .*a house"):
        read_references(annotations, 'test', 'zh')
    write_json(tmp_path / 'p.json', dict(images=[dict(filename='a.png', split='test')]))
    with pytest.raises(ValueError, match=r"'a\.png' needs .*sentences with 'raw'.*; found None"):
        read_references(tmp_path / 'p.json', 'test')


def test_gzipped_references_and_joined_tokens_are_read(tmp_path):
    image = dict(filename='a.png', split='test', sentences=[dict(tokens_chinese=['一栋', '房子'])])
    path = tmp_path / 'captions.json.gz'
    path.write_bytes(gzip.compress(json.dumps(dict(images=[image])).encode()))
    assert read_references(path, 'test', 'zh')['a'].references == ['一栋房子']
