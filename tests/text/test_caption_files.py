import json

import pytest

from rscc.text.caption_files import holds_word, read_images, string_of, text_of

COCO = {'images': [{'id': 7, 'file_name': 'b.jpg'}],
        'annotations': [{'image_id': 7, 'caption': 'one'}, {'image_id': 7, 'caption': 'two'}]}


def read(tmp_path, data):
    path = tmp_path / 'c.json'
    path.write_text(json.dumps(data))
    return read_images(path)


def test_coco_tables_become_images_with_their_captions_and_numbers(tmp_path):
    (image,) = read(tmp_path, COCO)
    assert (image['filename'], image['imgid'], image['captions']) == ('b.jpg', 7, ['one', 'two'])


@pytest.mark.parametrize(('change', 'message'), [
    ({'images': [{'file_name': 'a.jpg'}]}, "image 0 has the 'id' None; one that no other image"),
    ({'images': [*COCO['images'], *COCO['images']]}, "image 1 has the 'id' 7"),
    ({'images': ['a.jpg']}, "image 0 has the 'id' None"),
    ({'annotations': {}}, r"'annotations' is an object with the keys \[\]; COCO's list"),
    ({'annotations': [{'caption': 'one'}]}, 'caption 0 names image_id None, which is not in'),
    ({'annotations': ['one']}, 'caption 0 names image_id None'),
    ({'images': 5}, "expected an object with a list 'images'")])
def test_broken_tables_name_the_place(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, {**COCO, **change})


def test_a_sentence_is_found_under_the_keys_of_its_language():
    both = {'raw': 'a road .', 'tokens': ['a', 'road'], 'tokens_chinese': ['一条', '路']}
    assert text_of(both, 'en') == 'a road .' and text_of(both, 'en', 'tokens') == 'a road'
    assert text_of(both, 'zh') == '一条路' and text_of('a sea', 'en') == 'a sea'
    assert string_of(both, 'there', 'en') == 'a road .'
    with pytest.raises(ValueError, match='there is None; a non-empty string'):
        string_of({'raw': None}, 'there', 'en')
    with pytest.raises(ValueError, match=r"there has no sentence in 'zh'.*name that one"):
        string_of({'raw': 'a road'}, 'there', 'zh')


def test_marks_are_no_words():
    assert holds_word('路') and holds_word('a .') and not holds_word(' . -')
