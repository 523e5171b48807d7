import json

import pytest

from rscc.datasets.confidence import ConfidenceFiles, ConfidenceIndex, read_confidence


def record(path, *names):
    return {'image_path': path, **{name: f'{1 / (rank + 2):.4f}' for rank, name in
                                   enumerate(names)}}


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(records), indent=4), encoding='utf-8')
    return path


def test_the_order_of_the_keys_is_the_ranking(tmp_path):
    path = write(tmp_path / 'A.json', record('x/A/1.png', 'sea', 'beach', 'airport'))
    assert read_confidence(path) == {'x/A/1.png': ['sea', 'beach', 'airport']}


@pytest.mark.parametrize(('text', 'what'), [
    ('{"a": 1}', 'its top is an object, an array was expected'),
    ('[{"sea": "0.1"}]', "record 0 has no 'image_path'"),
    ('[3]', "record 0 has no 'image_path'"),
    ('[{"image_path": "", "sea": "0.1"}]', "record 0 has no 'image_path'"),
    ('[{"image_path": "a.png"}]', r"record 0 \('a.png'\) names no class"),
    ('[{"image_path": ', 'is not valid JSON')])
def test_another_file_is_refused_by_name(tmp_path, text, what):
    path = tmp_path / 'A.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"A.json'.*{what}"):
        read_confidence(path)


def test_a_record_is_found_by_path_or_by_file_name():
    index = ConfidenceIndex({'data/train/A/1.png': ['sea'], 'D:\\data\\train\\A\\2.png': ['river']})
    assert index.find('data/train/A/1.png') == ['sea']
    assert index.find('/elsewhere/1.png') == ['sea']
    assert index.find('/elsewhere/2.png') == ['river']
    assert index.find('data/train/A/3.png') is None
    assert str(index) == "2 records, the first 'data/train/A/1.png'"
    assert str(ConfidenceIndex({})) == '0 records' and ConfidenceIndex({}).find('1.png') is None


def test_of_several_records_of_a_name_the_one_in_the_same_folders_counts():
    index = ConfidenceIndex({'old/train/A/1.png': ['sea'], 'old/val/A/1.png': ['river']})
    assert index.find('new/val/A/1.png') == ['river']
    assert index.find('new/1.png') is None, 'either could be meant'


def test_every_folder_has_its_own_file(tmp_path):
    write(tmp_path / 'one/A_tag.json', record('one/A/1.png', 'sea', 'beach'))
    write(tmp_path / 'two/A_tag.json', record('two/A/1.png', 'river', 'pond'))
    found = ConfidenceFiles('_tag', top=1).look_up(
        ['one/A/1.png', 'two/A/1.png', 'one/B/1.png', 'two/A/2.png'], tmp_path)
    assert found.names == {'one/A/1.png': ['sea'], 'two/A/1.png': ['river'], 'one/B/1.png': None,
                           'two/A/2.png': None}
    assert found.lost == ['one/B/1.png', 'two/A/2.png']
    assert "B_tag.json' (no such file)" in found.where
    assert "A_tag.json' (1 records, the first 'one/A/1.png')" in found.where


def test_where_no_file_exists_nothing_is_found(tmp_path):
    assert ConfidenceFiles().look_up(['A/1.png'], tmp_path) is None
    assert str(ConfidenceFiles().of('train/time1/1.png')) == 'train/time1_clipcls_56_vit16.json'


def test_reading_no_name_at_all_is_said_otherwise():
    with pytest.raises(ValueError, match=r'top=0 must be at least 1; prompts_from=None'):
        ConfidenceFiles(top=0)
