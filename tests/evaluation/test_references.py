"""References of annotation files: names, change flags, the most frequent caption."""
import gzip
import json

import pytest

from rscc.evaluation import references as module
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
    with pytest.raises(ValueError, match=r"task='singel' is unknown.* Did you mean 'single'"):
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
    with pytest.raises(ValueError, match=r"'test_1'.*, expected an object with a list 'images'"):
        read_references(tmp_path / 'p.json', 'test')
    twice = write(tmp_path / 'a.json', image('a', 'test', 'b'), image('a', 'test', 'b'))
    with pytest.raises(ValueError, match="has two images 'a' in split 'test'; remove one"):
        read_references(twice, 'test')


def test_references_without_sentences_in_that_language_name_the_image(tmp_path, annotations):
    with pytest.raises(ValueError, match=r"caption 0 of 'test_\d\.png' has no sentence in 'zh': .*"
                       r"among \['raw'\]\. Chinese .* 'dataset_sydney_cn\.json': name that one"):
        read_references(annotations, 'test', 'zh')
    write_json(tmp_path / 'p.json', dict(images=[dict(filename='a.png', split='test')]))
    with pytest.raises(ValueError, match=r"'a\.png' has no captions"):
        read_references(tmp_path / 'p.json', 'test')
    write_json(tmp_path / 'p.json', dict(images=['a.png']))
    with pytest.raises(ValueError, match="image 0 has no 'filename': found a str"):
        read_references(tmp_path / 'p.json')
    write_json(tmp_path / 'p.json', dict(images=[]))
    with pytest.raises(ValueError, match='lists no images at all'):
        read_references(tmp_path / 'p.json')


def test_sentences_without_a_word_are_left_out_and_counted(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(module, 'warn', said.append)
    path = write(tmp_path / 'a.json', image('a', 'test', 'a road .', ' .', ''))
    assert read_references(path).records['a'].references == ['a road .']
    assert said == [f"'{path}': 2 references in 'en' hold no word and are left out; the first: "
                    "' .' (image 'a.png')"]
    path = write(tmp_path / 'a.json', image('a', 'test', ' .'))
    with pytest.raises(ValueError, match=r"none of the captions of 'a\.png' holds a word in 'en', "
                       r"' \.' the first"):
        read_references(path)


def test_a_file_without_splits_is_taken_whole(tmp_path):
    coco = dict(images=[dict(id=7, file_name='b.jpg'), dict(id=4, file_name='a.jpg')],
                annotations=[dict(image_id=7, caption='a sea'), dict(image_id=4, caption='a road')])
    write_json(tmp_path / 'c.json', coco)
    references = read_references(tmp_path / 'c.json')
    assert (references.split, list(references.records)) == ('all', ['a', 'b'])
    assert references.ids['imgid'] == {'4': 'a', '7': 'b'}
    assert references.records['b'].references == ['a sea']
    with pytest.raises(ValueError, match="has no splits, so split 'test' selects nothing: leave"):
        read_references(tmp_path / 'c.json', 'test')


def test_one_number_for_two_images_is_refused(tmp_path):
    path = write(tmp_path / 'a.json', image('a', 'test', 'x', imgid=1),
                 image('b', 'test', 'y', imgid=1))
    with pytest.raises(ValueError, match="two images with the imgid 1, 'a' and 'b'; correct one"):
        read_references(path)


def test_gzipped_references_and_joined_tokens_are_read(tmp_path):
    made = dict(filename='a.png', split='test', sentences=[dict(tokens_chinese=['一栋', '房子'])])
    path = tmp_path / 'captions.json.gz'
    path.write_bytes(gzip.compress(json.dumps(dict(images=[made])).encode()))
    assert read_references(path, 'test', 'zh').records['a'].references == ['一栋房子']
