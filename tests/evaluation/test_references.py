"""References of annotation files: names, change flags, the most frequent caption."""
import gzip
import json

import pytest

from rscc.evaluation.references import read_references
from rscc.utils import write_json


def image(name, split, *texts, **more):
    return dict(filename=f'{name}.png', split=split, sentences=[dict(raw=t) for t in texts], **more)


def write(path, *images):
    write_json(path, dict(images=images))
    return path


@pytest.fixture
def annotations(tmp_path):
    return write(tmp_path / 'captions.json', image('test_2', 'test', ' there is no difference .'),
                 image('test_1', 'test', ' a house is built .', changeflag=1),
                 image('val_1', 'val', ' a road .'))


def test_references_are_sorted_and_a_missing_flag_is_derived(annotations):
    references = read_references(annotations, 'test')
    assert list(references.records) == ['test_1', 'test_2']
    assert [record.changed for record in references.records.values()] == [True, False]
    assert references.frequent is None


def test_files_without_any_flag_or_no_change_are_of_single_images(tmp_path):
    path = write(tmp_path / 'a.json', image('a', 'test', 'a road .', 'a house .'))
    assert read_references(path, 'test').records['a'].changed is None
    assert read_references(path, 'test', task='pair').records['a'].changed is True
    # One unchanged pair, in whichever split, tells that the file is of pairs.
    path = write(tmp_path / 'b.json', image('a', 'test', 'a road is built .'),
                 image('b', 'train', 'no change has occurred .'))
    assert read_references(path, 'test').records['a'].changed is True
    assert read_references(path, 'test', task='single').records['a'].changed is None
    with pytest.raises(ValueError, match=r"unknown task 'singel'.* Did you mean 'single'"):
        read_references(path, 'test', task='singel')


def test_the_most_frequent_caption_is_counted_over_the_training_split(tmp_path):
    path = write(tmp_path / 'a.json', image('a', 'train', 'A road .', 'a road .', 'a sea .'),
                 image('b', 'train', 'a road .', 'a sea .'), image('c', 'test', *['a car .'] * 9))
    assert read_references(path, 'test').frequent == 'a road .'


def test_an_image_is_known_by_its_number_and_its_file(tmp_path):
    path = write(tmp_path / 'a.json', image('7', 'test', 'a', imgid=6))
    assert read_references(path, 'test').ids == {
        'name': {'7': '7'}, 'imgid': {'6': '7'}}


def test_other_files_and_splits_are_refused(tmp_path, annotations):
    with pytest.raises(ValueError, match=r"no split 'tset': it has test, val. Did you mean 'test'"):
        read_references(annotations, 'tset')
    with pytest.raises(ValueError, match="unknown language 'english'"):
        read_references(annotations, 'test', 'english')
    write_json(tmp_path / 'p.json', {'test_1': 'a'})
    with pytest.raises(ValueError, match="has no list 'images'"):
        read_references(tmp_path / 'p.json', 'test')
    twice = write(tmp_path / 'a.json', image('a', 'test', 'b'), image('a', 'test', 'b'))
    with pytest.raises(ValueError, match="has two images 'a' in split 'test'; remove one"):
        read_references(twice, 'test')


def test_references_without_sentences_in_that_language_name_the_image(tmp_path, annotations):
    with pytest.raises(ValueError, match=r"image 'test_\d\.png' needs a filename and sentences "
                       r"with 'raw_chinese' or 'tokens_chinese' \(language 'zh'\); found .*raw"):
        read_references(annotations, 'test', 'zh')
    write_json(tmp_path / 'p.json', dict(images=[dict(filename='a.png', split='test')]))
    with pytest.raises(ValueError, match=r"'a\.png' needs .*sentences with 'raw'.*; found None"):
        read_references(tmp_path / 'p.json', 'test')


def test_gzipped_references_and_joined_tokens_are_read(tmp_path):
    made = dict(filename='a.png', split='test', sentences=[dict(tokens_chinese=['一栋', '房子'])])
    path = tmp_path / 'captions.json.gz'
    path.write_bytes(gzip.compress(json.dumps(dict(images=[made])).encode()))
    assert read_references(path, 'test', 'zh').records['a'].references == ['一栋房子']
