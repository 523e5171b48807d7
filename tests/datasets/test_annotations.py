import gzip
import json

import pytest

from rscc.datasets.annotations import read_captions


def write(path, data):
    path.write_text(json.dumps(data), encoding='utf-8')
    return path


def image(**fields):
    return {'images': [{'filename': 'a.png', **fields}]}


def test_karpathy_sentences_are_normalised(tmp_path):
    path = write(tmp_path / 'c.json', image(split='val', sentences=[
        {'raw': ' A  House appears .', 'tokens': ['a', 'house', 'appears', '.']}]))
    (record,) = read_captions(path)
    assert record['captions'] == ['a house appears'] and record['split'] == 'val'
    assert record['sample_id'] == 'a' and record['changeflag'] is None
    assert read_captions(path, text_from='tokens')[0]['captions'] == ['a house appears']


def test_plain_caption_lists_and_gzip_are_read(tmp_path):
    path = tmp_path / 'c.json.gz'
    path.write_bytes(gzip.compress(json.dumps(image(captions=['x y'], changeflag=0)).encode()))
    (record,) = read_captions(path)
    assert record['captions'] == ['x y'] and record['changeflag'] is False
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match='not a whole gzipped file'):
        read_captions(path)


def test_chinese_sentences_come_from_their_own_keys(tmp_path):
    path = write(tmp_path / 'c.json', image(sentences=[
        {'raw': 'x', 'raw_chinese': '出现一栋房子。', 'tokens_chinese': ['出现', '一栋', '房子']}]))
    assert read_captions(path, 'zh')[0]['captions'] == ['出现一栋房子']
    assert read_captions(path, 'zh', 'tokens')[0]['captions'] == ['出现一栋房子']


def test_coco_tables_are_joined(tmp_path):
    data = {'images': [{'id': 7, 'file_name': 'b.jpg'}],
            'annotations': [{'image_id': 7, 'caption': 'One.'}, {'image_id': 7, 'caption': 'Two.'}]}
    (record,) = read_captions(write(tmp_path / 'c.json', data))
    assert record['filename'] == 'b.jpg' and record['captions'] == ['one', 'two']
    data['annotations'][0]['image_id'] = 8
    with pytest.raises(ValueError, match="image_id 8, which is not in 'images'"):
        read_captions(write(tmp_path / 'c.json', data))


@pytest.mark.parametrize(('data', 'found'), [
    ([1, 2], 'found a list'),
    ({'annotations': []}, r"an object with the keys \['annotations'\]"),
])
def test_another_style_says_what_was_found(tmp_path, data, found):
    with pytest.raises(ValueError, match=f'Karpathy.*{found}'):
        read_captions(write(tmp_path / 'c.json', data))


@pytest.mark.parametrize(('sentence', 'shown'), [
    ({'raw': 5}, "caption 0 of 'a.png' is 5"),
    ({'tokens': None}, "caption 0 of 'a.png' is None"),
])
def test_a_strange_caption_names_its_image(tmp_path, sentence, shown):
    with pytest.raises(ValueError, match=f"{shown}; a non-empty string in 'en'"):
        read_captions(write(tmp_path / 'c.json', image(sentences=[sentence])))


def test_captions_without_a_word_are_left_out_and_counted(tmp_path, said):
    path = write(tmp_path / 'c.json', image(captions=['one .', ' . ', '', 'two', '-', '###']))
    assert read_captions(path)[0]['captions'] == ['one', 'two']
    assert said[-1] == (f"'{path}': 4 of 6 captions in 'en' hold no word and are left out; the "
                        "first: ' . ' (image 'a.png')")


def test_an_image_without_any_word_is_refused(tmp_path, said):
    with pytest.raises(ValueError, match=r"none of the captions of 'a\.png' holds a word in 'en', "
                       r"' \. ' the first"):
        read_captions(write(tmp_path / 'c.json', image(captions=[' . ', ''])))


def test_trailing_hashes_are_cut_counted_and_kept_on_request(tmp_path, said):
    sentences = [{'raw': 'x', 'raw_chinese': text} for text in
                 ('房屋密集排列的住宅区.###', '有一些道路.  ###', '一条河流.')]
    path = write(tmp_path / 'c.json', image(sentences=sentences))
    assert read_captions(path, 'zh')[0]['captions'] == ['房屋密集排列的住宅区', '有一些道路',
                                                       '一条河流']
    assert said == [f"'{path}': 2 of 3 captions in 'zh' end in '#', which is cut off "
                    "(clean_captions=False keeps it); the first: '房屋密集排列的住宅区.###' "
                    "(image 'a.png')"]
    assert read_captions(path, 'zh', clean=False)[0]['captions'][0] == '房屋密集排列的住宅区.###'
    assert len(said) == 1


def test_a_file_without_the_language_names_the_missing_key(tmp_path):
    path = write(tmp_path / 'c.json', image(sentences=[{'raw': 'x', 'tokens': ['x']}]))
    with pytest.raises(ValueError, match=r"no sentence in 'zh': neither 'raw_chinese' nor "
                       r"'tokens_chinese' among \['raw', 'tokens'\].*dataset_sydney_cn.json"):
        read_captions(path, 'zh')


def test_images_without_captions_name_or_proper_flag_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'a\.png' has no captions"):
        read_captions(write(tmp_path / 'c.json', image()))
    with pytest.raises(ValueError, match="image 0 has no 'filename'"):
        read_captions(write(tmp_path / 'c.json', {'images': [{'captions': ['x']}]}))
    with pytest.raises(ValueError, match=r"'a.png': changeflag is a string \('yes'\); 0 or 1"):
        read_captions(write(tmp_path / 'c.json', image(captions=['x'], changeflag='yes')))


def test_unknown_options_name_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="unknown language 'fr'"):
        read_captions(tmp_path / 'c.json', 'fr')
    with pytest.raises(ValueError, match=r"unknown language 'cn'.*Did you mean 'zh'\?"):
        read_captions(tmp_path / 'c.json', 'cn')
    with pytest.raises(ValueError, match=r"text_from='token' is unknown.*Did you mean 'tokens'"):
        read_captions(tmp_path / 'c.json', text_from='token')
