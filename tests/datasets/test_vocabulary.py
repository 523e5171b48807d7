import json

import pytest
from real_captions import need

from rscc.datasets.sydney import SydneyCaptionsDataset
from rscc.datasets.vocabulary import vocabulary
from rscc.text.word_tokenizer import WordTokenizer


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
