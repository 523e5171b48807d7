import json

import pytest
from real_captions import need

from rscc.datasets import word_encoding
from rscc.datasets.single_image import SydneyCaptionsDataset
from rscc.datasets.word_encoding import encode_words, vocabulary, write_word_encoding
from rscc.text.word_tokenizer import WordTokenizer
from rscc.utils import read_json


@pytest.fixture
def dataset(tmp_path):
    texts = {'train': ['a road', 'a road and a house'], 'test': ['zebras']}
    (tmp_path / 'dataset.json').write_text(json.dumps({'images': [
        {'filename': f'{split}{row}.tif', 'split': split, 'sentences': [{'raw': f'{text} .'}]}
        for split, rows in texts.items() for row, text in enumerate(rows)]}))
    return SydneyCaptionsDataset(str(tmp_path), check_images=False)


def test_training_words_come_most_frequent_first(dataset):
    assert vocabulary(dataset) == ['a', 'road', 'and', 'house']
    assert vocabulary(dataset, 2) == ['a', 'road']
    with pytest.raises(ValueError, match=r"no word of Sydney-captions occurs 9 times or more; the "
                       r"most frequent is \[\('a', 3\)\]"):
        vocabulary(dataset, 9)


@pytest.mark.parametrize(('language', 'least', 'most'), [('en', 180, 226), ('zh', 250, 326)])
def test_real_captions_are_covered_by_their_vocabulary(samples, language, least, most):
    if language == 'zh':
        pytest.importorskip('jieba')
    folder = need(samples, 'sydney_captions')
    dataset = SydneyCaptionsDataset(str(folder), 'dataset_sydney_cn.json.gz', language=language,
                                    check_images=False)
    words = vocabulary(dataset)
    assert least < len(words) <= most and '#' not in ''.join(words)
    tokenizer = WordTokenizer(words=words, language=language)
    for row in range(40):
        for caption in dataset.get_data_info(row)['gt_captions']:
            ids = tokenizer.encode(caption)
            assert tokenizer.unk_id not in ids and tokenizer.decode(ids) == caption


def image(split, name, *captions, **more):
    return dict(split=split, filename=name, sentences=[
        dict(tokens=text.split(), raw=f' {text} .', **more) for text in captions])


@pytest.fixture
def write(tmp_path):
    def write(*images):
        path = tmp_path / 'captions.json'
        path.write_text(json.dumps(dict(images=list(images)), ensure_ascii=False), encoding='utf-8')
        return path
    return write


@pytest.fixture
def said(monkeypatch):
    messages = []
    monkeypatch.setattr(word_encoding, 'warn_once', messages.append)
    return messages


def test_words_are_numbered_by_appearance_and_all_splits_set_the_length(write, tmp_path, said):
    path = write(image('val', 'b.png', 'a road'), image('train', 'a.png', 'the road', 'the'),
                 image('test', 'c.png', 'a new road appears'))
    encoding = encode_words(path)
    assert encoding.words == ['<pad>', 'a', 'road', 'the', 'new', 'appears', '<unk>', '<start>',
                              '<end>']
    assert encoding.captions['train'] == {'a.png': [[7, 3, 2, 8, 0, 0], [7, 3, 8, 0, 0, 0]]}
    assert encoding.captions['test'] == {'c.png': [[7, 1, 4, 2, 5, 8]]} and encoding.length == 6
    names = [file.name for file in write_word_encoding(encoding, tmp_path / 'out')]
    assert names == ['vocab.json', 'train_caption_encoded.json', 'val_caption_encoded.json',
                     'test_caption_encoded.json', 'word_encoding.json']
    assert read_json(tmp_path / 'out/vocab.json')['<pad>'] == 0
    assert read_json(tmp_path / 'out/word_encoding.json')['splits'] == dict(
        train=dict(images=1, captions=2, longest=4), val=dict(images=1, captions=1, longest=4),
        test=dict(images=1, captions=1, longest=6))
    assert not said


def test_a_split_without_images_is_not_written(write, tmp_path):
    written = write_word_encoding(encode_words(write(image('train', 'a.png', 'a road'))), tmp_path)
    assert [file.name for file in written] == ['vocab.json', 'train_caption_encoded.json',
                                               'word_encoding.json']


def test_slips_of_real_files_are_counted_and_the_first_is_named(write, said):
    encoding = encode_words(write(image('train', 'a.png', 'a\\almost all', '', 'almost'),
                                  image('val', 'b.png', 'all', '.')))
    assert encoding.words[1:4] == ['a', 'almost', 'all']
    assert len(encoding.captions['train']['a.png']) == 2
    assert len(encoding.captions['val']['b.png']) == 1
    assert len(said) == 2
    assert ("1 captions hold a word with a backslash, which is taken for two words; the first: "
            "caption 0 of 'a.png'") in said[0]
    assert "2 captions hold no word and are left out; the first: caption 1 of 'a.png'" in said[1]


def test_sentences_are_split_here_where_the_file_lists_no_words(write, said):
    plain = dict(split='train', filename='a.png', sentences=[dict(raw='A road, new .')])
    encoding = encode_words(write(plain), words_from='raw')
    assert encoding.words[1:5] == ['a', 'road', ',', 'new']
    strings = dict(split='train', filename='a.png', captions=['a road'])
    assert encode_words(write(strings), words_from='raw').words[1:3] == ['a', 'road']


def test_lists_that_are_not_what_a_model_reads_are_told(write, said):
    other = dict(split='train', filename='a.png', sentences=[dict(tokens=['A', 'road', '.'],
                                                                  raw='A road .')])
    assert encode_words(write(other)).words[1:4] == ['A', 'road', '.']
    assert "1 captions list other words than WordTokenizer finds in their 'raw' sentence" in said[0]


def test_chinese_has_its_own_lists(write, tmp_path):
    path = write(image('train', 'a.png', 'a road', tokens_chinese=['一条', '路'],
                       raw_chinese='一条路'))
    encoding = encode_words(path, 'zh')
    assert encoding.words[1:3] == ['一条', '路']
    write_word_encoding(encoding, tmp_path)
    assert WordTokenizer(tmp_path / 'word_encoding.json', language='zh').max_tokens == 2
    with pytest.raises(ValueError, match=r"is of captions in 'zh', and the tokenizer's language is "
                       "'en'"):
        WordTokenizer(tmp_path / 'word_encoding.json')


@pytest.mark.parametrize(('images', 'message'), [
    ([image('trian', 'a.png', 'a road')], r"'a\.png' is of split 'trian', and one of \['train', "
     r"'val', 'test'\] was expected\. Did you mean 'train'\?"),
    ([dict(filename='a.png', sentences=[dict(tokens=['a'])])], 'is of split None'),
    ([dict(split='train', filename='a.png', sentences=[dict(raw='a road')])],
     r"caption 0 of 'a\.png' has no list 'tokens' of words, found the keys \['raw'\]\..*"
     '--words-from raw'),
    ([dict(split='train', filename='a.png', captions=['a road'])],
     r"caption 0 of 'a\.png' has no list 'tokens' of words, found a road"),
    ([dict(split='train', filename='a.png', sentences=[dict(tokens=['a', 3])])],
     r"caption 0 of 'a\.png' lists 3 among its words; strings that are not blank were expected"),
    ([image('train', 'a.png', '', '')], r"none of the 2 captions of 'a\.png' holds a word"),
    ([image('train', 'a.png', 'a'), image('train', 'a.png', 'b')],
     r"has 'a\.png' twice in split 'train'\. Remove one"),
    ([image('train', 'a.png', 'a <end>')], "hold '<end>', the name of a special entry"),
    ([], 'lists no images at all'),
    ([dict(split='train', filename='a.png', sentences=[])], r"'a\.png' has no captions")])
def test_what_cannot_be_encoded_is_named(write, images, message):
    with pytest.raises(ValueError, match=message):
        encode_words(write(*images))


def test_wrong_options_and_files_name_the_nearest(write):
    path = write(image('train', 'a.png', 'a road'))
    with pytest.raises(ValueError, match=r"words_from='token' is unknown.*Did you mean 'tokens'"):
        encode_words(path, words_from='token')
    with pytest.raises(FileNotFoundError, match=r"no annotations at .*caption\.json'\. Did "
                       r"you mean 'captions\.json'\?"):
        encode_words(path.with_name('caption.json'))
    broken = write(dict(split='train', filename='a.png', sentences=[dict(raw=None)]))
    with pytest.raises(ValueError, match=r"caption 0 of 'a\.png' is None; a non-empty string"):
        encode_words(broken, words_from='raw')
