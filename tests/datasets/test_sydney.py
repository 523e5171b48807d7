import json

import pytest
from real_captions import (
    captions_of,
    counts_of,
    first_against_others,
    load,
    need,
    seen_in_train,
    sentences_of,
)

from rscc.datasets.sydney import SydneyCaptionsDataset
from rscc.text import split_words

PIPELINE = [{'type': 'LoadFrames'}, {'type': 'PickCaptions', 'mode': 'all'},
            {'type': 'PackChangeInputs'}]
BOTH_LANGUAGES = 'dataset_sydney_cn.json.gz'


@pytest.fixture
def folder(samples):
    return need(samples, 'sydney_captions')


@pytest.mark.parametrize('options', [
    dict(ann_file=BOTH_LANGUAGES), dict(ann_file=BOTH_LANGUAGES, language='zh'),
    dict(release='modified')])
def test_all_613_images_load_in_their_published_splits(folder, options):
    splits = load(SydneyCaptionsDataset, folder, **options)
    assert counts_of(splits) == {'train': (497, 2485), 'val': (58, 290), 'test': (58, 290)}
    assert splits['val'].metainfo['task'] == 'single'
    assert 'gt_change_flag' not in splits['val'].get_data_info(0)


def test_the_english_captions_are_those_that_were_counted(folder):
    splits = load(SydneyCaptionsDataset, folder, ann_file=BOTH_LANGUAGES)
    texts = [text for dataset in splits.values() for texts in captions_of(dataset)
             for text in texts]
    words = [split_words(text) for text in texts]
    assert max(map(len, words)) == 20
    assert len({word for sentence in words for word in sentence if word.isalnum()}) in (225, 226)
    assert len(set(texts)) in range(1100, 1110)  # 1,109 with their capitals
    assert (seen_in_train(splits, 'val'), seen_in_train(splits, 'test')) == (138, 78)
    found = sentences_of(folder / BOTH_LANGUAGES)
    assert sum(s['raw'].rstrip(' .').split() != s['tokens'] for row in found for s in row) == 14
    assert sum(len({s['raw'] for s in row}) < 5 for row in found) == 173


def test_the_chinese_captions_are_those_that_were_counted(folder):
    rows = sentences_of(folder / BOTH_LANGUAGES)
    texts = [sentence['raw_chinese'] for row in rows for sentence in row]
    words = [sentence['tokens_chinese'] for row in rows for sentence in row]
    assert all(''.join(own) == text for own, text in zip(words, texts, strict=True))
    assert len({word for own in words for word in own}) == 326
    assert len({character for text in texts for character in text}) == 262
    assert (round(sum(map(len, words)) / 3065, 1), max(map(len, words))) == (12.0, 23)
    assert (round(sum(map(len, texts)) / 3065, 1), max(map(len, texts))) == (20.8, 37)


def test_thirty_chinese_captions_are_cleaned_and_counted(folder, said):
    options = dict(ann_file=BOTH_LANGUAGES, language='zh')
    splits = load(SydneyCaptionsDataset, folder, **options)
    assert len(said) == 3 and len(set(said)) == 1  # one message of the process
    assert "30 of 3065 captions in 'zh' end in '#'" in said[0] and '  ###' in said[0]
    assert not any('#' in text for dataset in splits.values() for texts in captions_of(dataset)
                   for text in texts)
    kept = load(SydneyCaptionsDataset, folder, clean_captions=False, **options)
    assert {split: sum('#' in text for texts in captions_of(dataset) for text in texts)
            for split, dataset in kept.items()} == {'train': 25, 'val': 2, 'test': 3}


def test_chinese_words_are_those_of_the_published_tokens(folder):
    pytest.importorskip('jieba')
    for row in sentences_of(folder / BOTH_LANGUAGES)[40:80]:
        for sentence in row:
            ours = split_words(sentence['raw_chinese'], 'zh')
            assert ours == [word.lower() for word in sentence['tokens_chinese'] if word != '.']


@pytest.mark.parametrize('name', [BOTH_LANGUAGES, 'dataset_sydney_modified.json'])
def test_people_agree_with_each_other_as_published(folder, name):
    assert first_against_others(folder / name) == pytest.approx([.930, .879, .831, .777], abs=6e-4)


def test_a_corrected_release_has_a_name_of_its_own(folder):
    original = SydneyCaptionsDataset(str(folder), BOTH_LANGUAGES, check_images=False)
    chinese = SydneyCaptionsDataset(str(folder), BOTH_LANGUAGES, check_images=False, language='zh')
    modified = SydneyCaptionsDataset(str(folder), release='modified', check_images=False)
    assert [dataset.metainfo['name'] for dataset in (original, chinese, modified)] == [
        'sydney', 'sydney_cn', 'sydney_modified']
    assert modified.ann_file.endswith('dataset_sydney_modified.json')
    ours, theirs = ([sentence['raw'] for row in sentences_of(folder / name) for sentence in row]
                    for name in (BOTH_LANGUAGES, 'dataset_sydney_modified.json'))
    assert sum(a != b for a, b in zip(ours, theirs, strict=True)) == 10


def test_the_published_folder_loads_in_both_languages_with_its_images(folder, tmp_path):
    root = tmp_path / 'Sydney_captions'
    root.mkdir()
    (root / 'imgs').symlink_to(folder / 'imgs')
    here = {path.name for path in (folder / 'imgs').iterdir()}
    rows = json.loads((folder / 'dataset_sydney_modified.json').read_text())['images']
    images = [image for image in rows if image['filename'] in here]
    for image in images:
        for sentence in image['sentences']:
            sentence['raw_chinese'] = '一个住宅区，房屋排列整齐.'
    for name in ('dataset.json', 'dataset_sydney_cn.json'):
        (root / name).write_text(json.dumps({'images': images}), encoding='utf-8')
    english = SydneyCaptionsDataset(str(root), pipeline=PIPELINE)
    chinese = SydneyCaptionsDataset(str(root), language='zh', pipeline=PIPELINE)
    assert (len(english), len(chinese)) == (9, 9)
    assert english[0]['inputs'].shape == (1, 3, 500, 500)
    assert english[0]['data_samples'].gt_captions[0] == (
        'a residential area with houses arranged neatly')
    assert chinese[0]['data_samples'].target_captions == ['一个住宅区，房屋排列整齐'] * 5
    assert chinese.ann_file.endswith('dataset_sydney_cn.json')
