import gzip
import json

import pytest

from rscc.utils import json_stream
from rscc.utils.json_stream import stream_list

DATA = {'info': {'a': [1, {'images': 'no'}]}, 'count': 12345,
        'images': [{'n': 1}, [2], 'drei', 4.5], 'after': None}


@pytest.mark.parametrize('chunk', [1, 3, 17, 1 << 20])
def test_items_come_one_by_one_whatever_the_pieces_that_are_read(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(json_stream, '_CHUNK', chunk)
    for indent in (None, 2):
        path = tmp_path / 'a.json'
        path.write_text(json.dumps(DATA, indent=indent), encoding='utf-8-sig')
        assert list(stream_list(path, 'images')) == DATA['images']


def test_gzipped_files_and_empty_lists_are_read(tmp_path):
    path = tmp_path / 'a.json.gz'
    path.write_bytes(gzip.compress(b'{"images": []}'))
    assert list(stream_list(path, 'images')) == []


@pytest.mark.parametrize(('text', 'message'), [
    ('', "'' where '{'"), ('[1]', "where '{'"), ('{"a": 1}', "no list 'images'"),
    ('{}', "without the key 'images'"), ('{"images": {}}', "'{' where '\\['"),
    ('{"images": [1 2]}', "'2' between"), ('{"images": [1, {"a": ]}', 'near character'),
    ('{"images": [1', 'between two items'), ('{"images": ' + '[' * 100_000, 'recursion depth'),
    ('{"images": [' + '1' * 6000 + ']}', 'Exceeds the limit')])
def test_other_files_are_refused_with_the_place(tmp_path, text, message):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        list(stream_list(path, 'images'))


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such JSON'):
        list(stream_list(tmp_path / 'a.json', 'images'))
    path = tmp_path / 'b.json.gz'
    path.write_bytes(b'words')
    with pytest.raises(ValueError, match='no readable UTF-8 JSON'):
        list(stream_list(path, 'images'))


def test_memory_is_that_of_one_item(tmp_path):
    import tracemalloc
    path = tmp_path / 'a.json'
    with open(path, 'w') as file:
        file.write('{"images": [' + ', '.join(['{"filename": "%s"}' % ('x' * 1000)] * 30000) + ']}')
    tracemalloc.start()
    assert sum(1 for _ in stream_list(path, 'images')) == 30000
    assert tracemalloc.get_traced_memory()[1] < 8 << 20 < path.stat().st_size
    tracemalloc.stop()
