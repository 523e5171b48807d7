import gzip
import json
from collections import Counter

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

from rscc.datasets.single_image import RSICDDataset, SydneyCaptionsDataset, UCMCaptionsDataset
from rscc.text import split_words

IMAGES = [{'filename': f'{number}.tif', 'split': split,
           'sentences': [{'raw': 'There is a road .', 'raw_chinese': '有一条路.'}]}
          for number, split in enumerate(('train', 'val', 'test'))]


def make(root, *names, images=IMAGES):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps({'images': images}), encoding='utf-8')
    return str(root)


@pytest.mark.parametrize(('kind', 'language', 'name'), [
    (SydneyCaptionsDataset, 'en', 'dataset.json'),
    (SydneyCaptionsDataset, 'zh', 'dataset_sydney_cn.json'),
    (UCMCaptionsDataset, 'en', 'dataset_ucm.json'),
    (UCMCaptionsDataset, 'zh', 'dataset_ucm_cn.json'),
    (RSICDDataset, 'en', 'annotations_rsicd/dataset_rsicd.json'),
    (RSICDDataset, 'zh', 'annotations_rsicd/dataset_rsicd_cn.json'),
    (RSICDDataset, 'en', 'dataset_rsicd.json')])
def test_annotations_are_found_by_their_published_names(tmp_path, kind, language, name):
    dataset = kind(make(tmp_path, name), language=language, check_images=False)
    assert dataset.ann_file == str(tmp_path / name)
    assert dataset.get_data_info(0)['gt_captions'] == [
        'there is a road' if language == 'en' else '有一条路']
    assert dataset.metainfo['name'] == kind.KEY + ('' if language == 'en' else '_cn')
    assert dataset.metainfo['release'] == 'original'


def test_the_most_frequent_training_caption_is_known_to_every_split(tmp_path):
    def image(number, split, *texts):
        return {'filename': f'{number}.tif', 'imgid': number, 'split': split,
                'sentences': [{'raw': text} for text in texts]}

    images = [image(0, 'train', 'A road .', 'a sea .', 'a road .'), image(1, 'train', 'a sea .'),
              image(2, 'test', *['a house .'] * 9)]
    root = make(tmp_path, 'dataset.json', images=images)
    dataset = SydneyCaptionsDataset(root, split='test', check_images=False)
    assert dataset.metainfo['frequent_caption'] == 'a road'  # as often as 'a sea': by alphabet
    assert dataset.get_data_info(0)['imgid'] == 2
    make(tmp_path, 'dataset.json', images=images[2:])
    dataset = SydneyCaptionsDataset(root, split='test', check_images=False)
    assert dataset.metainfo['frequent_caption'] is None


def test_the_folder_is_found_below_the_data_home_and_in_it(tmp_path, monkeypatch):
    make(tmp_path / 'home' / 'RSICD', 'annotations_rsicd/dataset_rsicd.json')
    for home in (tmp_path / 'home', tmp_path / 'home' / 'RSICD'):
        monkeypatch.setenv('RSCC_DATA', str(home))
        assert len(RSICDDataset(check_images=False)) == 1


def test_a_missing_file_is_named_as_published(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'Sydney-captions annotations not found at '
                       r".*dataset_sydney_cn\.json'.*datasets\.md#sydney-captions"):
        SydneyCaptionsDataset(str(tmp_path), language='zh')


def test_annotations_that_are_there_are_named(tmp_path):
    make(tmp_path, 'dataset_ucm_modified.json')
    with pytest.raises(FileNotFoundError, match=r"not found at .*dataset\.json'.* That folder "
                       r"holds \['dataset_ucm_modified\.json'\]\..* Set RSCC_DATA"):
        UCMCaptionsDataset(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'dataset_ucm_modified\.json'\?"):
        UCMCaptionsDataset(str(tmp_path), 'dataset_ucm_modifed.json')


def test_the_name_of_a_corrected_file_tells_its_release(tmp_path):
    make(tmp_path, 'dataset_ucm_modified.json')
    dataset = UCMCaptionsDataset(str(tmp_path), 'dataset_ucm_modified.json', check_images=False)
    assert (dataset.metainfo['name'], dataset.metainfo['release']) == ('ucm_modified', 'modified')
    assert UCMCaptionsDataset.release_of('a/dataset_ucm_modified.json.gz') == 'modified'
    assert UCMCaptionsDataset.release_of('mine.json') == 'original'


def test_unknown_releases_languages_and_splits_name_the_nearest(tmp_path):
    with pytest.raises(ValueError, match=r"UCM-captions has no release 'modifed': use one of "
                       r"\['original', 'modified'\]\. Did you mean 'modified'\?"):
        UCMCaptionsDataset(str(tmp_path), release='modifed')
    with pytest.raises(ValueError, match="release 'modified' of RSICD has no captions in 'zh', "
                       r"only in \['en'\]"):
        RSICDDataset(str(tmp_path), release='modified', language='zh')
    with pytest.raises(ValueError, match=r"unknown language 'cn'.*Did you mean 'zh'"):
        RSICDDataset(str(tmp_path), language='cn')
    make(tmp_path, 'dataset.json')
    with pytest.raises(ValueError, match=r"no split 'tst' in .*Did you mean 'test'\?"):
        UCMCaptionsDataset(str(tmp_path), split='tst')


def test_an_image_in_two_splits_is_refused(tmp_path):
    images = [*IMAGES, {**IMAGES[0], 'split': 'test'}]
    make(tmp_path, 'dataset.json', images=images)
    for split in ('train', 'val', 'test'):
        with pytest.raises(ValueError, match="has '0' in two splits, 'train' and 'test'"):
            UCMCaptionsDataset(str(tmp_path), split=split, check_images=False)


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


@pytest.fixture
def folder_ucm(samples):
    return need(samples, 'ucm_captions')


@pytest.fixture
def splits(folder_ucm):
    return load(UCMCaptionsDataset, folder_ucm, release='modified')


def test_all_2100_images_load_in_their_published_splits(splits):
    assert counts_of(splits) == {'train': (1680, 8400), 'val': (210, 1050), 'test': (210, 1050)}


def test_the_captions_are_those_that_were_counted(folder_ucm, splits):
    words = [split_words(text) for dataset in splits.values() for texts in captions_of(dataset)
             for text in texts]
    assert max(map(len, words)) == 22
    assert (seen_in_train(splits, 'val'), seen_in_train(splits, 'test')) == (662, 573)
    found = sentences_of(folder_ucm / 'dataset_ucm_modified.json')
    assert sum(len({s['raw'] for s in row}) < 5 for row in found) == 448
    assert len({s['raw'] for row in found for s in row}) == 2031  # 2,032 before the corrections


def test_people_agree_with_each_other_as_published_ucm(folder_ucm):
    assert first_against_others(folder_ucm / 'dataset_ucm_modified.json') == pytest.approx(
        [.797, .741, .702, .657], abs=6e-4)


def test_real_images_become_single_frames(folder_ucm):
    dataset = UCMCaptionsDataset(str(folder_ucm), release='modified', check_images=False, pipeline=[
        {'type': 'LoadFrames'}, {'type': 'PickCaptions'}, {'type': 'PackChangeInputs'}])
    packed = dataset[0]
    assert packed['inputs'].shape == (1, 3, 256, 256)
    assert packed['data_samples'].sample_id == '1'
    assert packed['data_samples'].img_path.endswith('imgs/1.tif')


def test_an_image_that_is_named_but_missing_is_an_error(folder_ucm):
    with pytest.raises(FileNotFoundError, match=r'UCM-captions: 1671 of 1680 image files are '
                       r'missing; first: .*imgs/10.*datasets\.md#ucm-captions'):
        UCMCaptionsDataset(str(folder_ucm), release='modified')


PIPELINE_RSICD = [{'type': 'LoadFrames'}, {'type': 'PickCaptions'}, {'type': 'PackChangeInputs'}]


@pytest.fixture
def folder_rsicd(samples):
    root = samples / 'rsicd_captions'
    if not root.is_dir():
        pytest.skip(f"no real annotations at '{root}'")
    return root


def test_coco_annotations_of_the_official_test_split_load(folder_rsicd):
    dataset = RSICDDataset(str(folder_rsicd), 'rsicd_official_test_coco.json.gz', split=None,
                           check_images=False)
    captions = sum(len(dataset.get_data_info(idx)['gt_captions']) for idx in range(len(dataset)))
    assert (len(dataset), captions) == (1094, 5469)
    assert dataset.metainfo['task'] == 'single'
    with pytest.raises(ValueError, match='has no splits'):
        RSICDDataset(str(folder_rsicd), 'rsicd_official_test_coco.json.gz', split='test')


def test_the_published_splits_are_those_of_the_official_file(folder_rsicd):
    data = json.loads(gzip.decompress(
        (folder_rsicd / 'classification_dataset_rsicd.json.gz').read_bytes()))
    splits = Counter(image['split'] for image in data['images'])
    assert splits == {'train': 8734, 'val': 1093, 'test': 1094}
    assert sum(splits.values()) == 10921
    assert len({image['label'] for image in data['images']}) == 31  # 'playfields' beside the 30
    with pytest.raises(ValueError, match=r"'airport_1\.jpg' has no captions"):
        RSICDDataset(str(folder_rsicd), 'classification_dataset_rsicd.json.gz')


@pytest.mark.parametrize(('name', 'images', 'sentences'), [
    ('captions_val2017.json', 1092, 5460), ('captions_test2017.json', 1093, 5465)])
def test_the_splits_of_another_repository_load_whole(folder_rsicd, name, images, sentences):
    dataset = RSICDDataset(str(folder_rsicd), name, split=None, check_images=False)
    texts = [dataset.get_data_info(row)['gt_captions'] for row in range(len(dataset))]
    assert (len(texts), sum(map(len, texts))) == (images, sentences)


def test_real_images_become_single_frames_rsicd(folder_rsicd, tmp_path):
    source = json.loads((folder_rsicd / 'captions_test2017.json').read_text(encoding='utf-8'))
    images = [{'filename': path.name, 'split': 'train', 'captions': ['an airport']}
              for path in sorted((folder_rsicd / 'images').glob('*.jpg'))]
    assert len(images) == 11 and source['annotations']
    (tmp_path / 'dataset_rsicd.json').write_text(json.dumps({'images': images}))
    (tmp_path / 'RSICD_images').symlink_to(folder_rsicd / 'images')
    packed = RSICDDataset(str(tmp_path), pipeline=PIPELINE_RSICD)[0]
    sample = packed['data_samples']
    assert packed['inputs'].shape == (1, 3, 224, 224)
    assert sample.img_path.endswith('.jpg') and 'gt_change_flag' not in sample
    assert sample.target_captions == ['an airport']


def test_both_languages_are_read_from_the_chinese_file_which_has_both(tmp_path):
    root = make(tmp_path, 'dataset.json', 'dataset_sydney_cn.json')
    dataset = SydneyCaptionsDataset(root, languages=('en', 'zh'), check_images=False)
    assert dataset.ann_file.endswith('dataset_sydney_cn.json')
    assert dataset.metainfo['name'] == 'sydney' and dataset.metainfo['language'] == 'en'
    item = dataset.get_data_info(0)
    assert item['gt_captions'] == ['there is a road']
    assert item['all_captions'] == ['there is a road', '有一条路']
