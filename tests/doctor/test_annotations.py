import gzip
import json
import os

import pytest

from rscc.doctor.annotations import caption_files
from rscc.doctor.examination import check_up
from rscc.doctor.recognition import parts_of_folder
from tests.datasets.conftest import make_levir

NAME = 'LevirCCcaptions.json'


def found_in(root):
    """Return the counts of a folder's findings, and the details of faulty annotation files."""
    register = check_up(parts_of_folder(root), jobs=1)
    try:
        return register.done, register.counts(), [
            detail for _, detail, _ in register.examples('bad_annotations')]
    finally:
        register.close()


def entries(**fields):
    return json.dumps({'images': [fields]}).encode()


# Content of the file, and what is said of it.
@pytest.mark.parametrize(('content', 'told'), [
    (b'', 'it is empty (0 bytes)'), (b' \r\n ', 'it holds nothing but blanks'),
    (b'\0' * 100, 'it holds nothing but zero bytes'),
    (b'{"images":[]}', "its list 'images' is empty"),
    (b'[1,2,3]', "'[' where '{' was expected"), (b'{"images": 5}', "'5' where '[' was expected"),
    (b'{"images":[1,2]}', "its first entry is '1'"), (b'{"pictures":[]}', "no list 'images'"),
    (entries(name='a.png'), "its first entry has the keys ['name']"),
    (entries(filename='a.png', split='train'), "has the keys ['filename', 'split']"),
    (b'<html>404</html>', "'<' where '{' was expected"),
    (entries(filename='a.png', captions=['a']).decode().encode('utf-16'), 'it is UTF-16 text'),
    ('{"images":[{"filename":"房屋.png"'.encode('gbk'), "codec can't decode byte"),
    (b'version https://git-lfs.github.com/spec/v1\noid', 'a pointer of Git LFS'),
    (b'{"images":' + b'[' * 100_000, 'maximum recursion depth'),
    (b'{"images":[' + b'1' * 6000 + b']}', 'Exceeds the limit'),
    (os.mkdir, 'it is a folder'),
    (lambda path: os.symlink('nowhere.json', path), "it is a broken link to 'nowhere.json'")])
def test_a_caption_file_without_captions_is_an_error_and_its_images_are_checked(
        tmp_path, content, told):
    root = make_levir(tmp_path / 'levir')
    (root / NAME).unlink()
    if callable(content):
        content(root / NAME)
    else:
        (root / NAME).write_bytes(content)
    done, counts, (detail,) = found_in(root)
    assert done == 12 and counts['bad_annotations'] == 1, 'pairs of folders A and B'
    assert detail.startswith(f"'{root / NAME}': ") and told in detail
    assert "expected an object with a list 'images'" in detail


@pytest.mark.parametrize('name', ['annotations_rsicd/dataset_rsicd.json', 'dataset.json',
                                  'annotations/captions_train.json', 'SECOND-CC-AUG.json.gz'])
def test_files_of_every_customary_name_are_meant_to_be_read(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b'')
    assert found_in(tmp_path)[:2] == (0, {'bad_annotations': 1}), 'no image is needed'


def test_other_files_are_told_where_nothing_else_has_captions(tmp_path):
    root = make_levir(tmp_path / 'levir')
    (root / 'numbers.json').write_text('[1]')
    (root / 'tiles.json').write_text('{}')
    assert found_in(root)[1] == {}
    (root / NAME).unlink()
    assert found_in(root)[1]['unread_json'] == 1


def test_files_that_break_off_count_to_that_place(tmp_path):
    root = make_levir(tmp_path / 'levir')
    data = (root / NAME).read_bytes()
    (root / NAME).write_bytes(data[:1500])
    done, counts, (detail,) = found_in(root)
    assert done == 1 and counts['bad_annotations'] == 1
    assert f"'{root / NAME}': after 1 entry: it is not the JSON" in detail
    (root / NAME).unlink()
    packed = gzip.compress(data)
    (root / f'{NAME}.gz').write_bytes(packed[:60] + bytes(100))
    assert 'it is no readable UTF-8 JSON' in found_in(root)[2][0]


def test_one_good_entry_makes_a_caption_file(tmp_path):
    path = tmp_path / 'captions.json'
    path.write_text(json.dumps({'images': [7, {'filename': 'a.png', 'captions': ['a']}]}))
    assert caption_files(tmp_path) == ([path], {}, {})


def test_half_characters_and_impossible_names_cost_their_entry(tmp_path):
    root = make_levir(tmp_path / 'levir')
    data = json.loads((root / NAME).read_text())
    data['images'][0]['sentences'][0]['raw'] = 'a \ud83d house'
    for image, name in zip(data['images'][1:], ('a\0.png', 'x' * 300 + '.png'), strict=False):
        image['filename'] = name
    (root / NAME).write_text(json.dumps(data))
    assert found_in(root)[1]['bad_entry'] == 3
