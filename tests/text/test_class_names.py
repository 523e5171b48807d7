import json
from importlib.resources import files
from pathlib import Path

import pytest
from recordings import recording

from rscc.text.class_names import class_names


def test_the_56_classes_come_with_the_package():
    names = class_names('remote_sensing_56')
    assert len(names) == len(set(names)) == 56
    assert names[:2] == ['airport', 'bare land'] and names[-2:] == ['container', 'cabin']
    assert (files('rscc.text') / 'data' / 'remote_sensing_56.txt').is_file()


def test_both_languages_name_the_same_classes_in_the_same_order():
    english, chinese = (class_names('remote_sensing_56', language) for language in ('en', 'zh'))
    assert len(set(chinese)) == len(english) == 56
    pairs = dict(zip(english, chinese, strict=True))
    assert pairs['bridge'] == '桥梁' and pairs['parking lot'] == '停车场'
    assert not any(character.isascii() for name in chinese for character in name)


def test_the_names_are_those_of_the_recorded_confidence_files():
    recorded = recording('changeclip/demo/train/A_clipcls_56_vit16.json')
    for record in json.loads(recorded.read_text(encoding='utf-8')):
        assert set(record) - {'image_path'} == set(class_names('remote_sensing_56'))


def test_the_originals_file_name_means_the_same_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert class_names('rscls.txt') == class_names('remote_sensing_56')
    Path('rscls.txt').write_text('house, 房子\n', encoding='utf-8')
    assert class_names('rscls.txt') == ['house']


def test_a_file_may_have_comments_blank_lines_one_column_and_a_byte_order_mark(tmp_path):
    path = tmp_path / 'mine.txt'
    path.write_text('# of my town\n\nwater tower, 水塔 #\nsilo，筒仓\nplant no. #7\n',
                    encoding='utf-8-sig')
    assert class_names(str(path)) == ['water tower', 'silo', 'plant no.']


@pytest.mark.parametrize(('content', 'language', 'message'), [
    ('', 'en', r"'.*mine\.txt' is empty; expected lines 'english, chinese'"),
    ('road, 路\nriver\n', 'zh', r"no 'zh' name on line\(s\) \[2\]"),
    (', 路\n', 'en', r"no 'en' name on line\(s\) \[1\]"),
    ('road\nriver\nroad\n', 'en', r"names 'road' on lines 1 and 3; remove one"),
    ('road\n', 'fr', r"language='fr' is unknown"),
])
def test_what_is_wrong_with_a_list_is_said(tmp_path, content, language, message):
    path = tmp_path / 'mine.txt'
    path.write_text(content, encoding='utf-8')
    with pytest.raises(ValueError, match=message):
        class_names(str(path), language)


def test_another_encoding_is_refused(tmp_path):
    path = tmp_path / 'mine.txt'
    path.write_bytes('road, 道路\n'.encode('gbk'))
    with pytest.raises(ValueError, match=r'is not UTF-8: .* Save it again as UTF-8'):
        class_names(str(path))


def test_an_unknown_list_names_the_nearest():
    with pytest.raises(FileNotFoundError, match=r"'remote_sensing_55': expected a text file or one "
                       r"of \['remote_sensing_56'\]\. Did you mean 'remote_sensing_56'\?"):
        class_names('remote_sensing_55')
