import copy
import json
import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader

from rscc.datasets.levir_cc import LEVIRCCDataset
from rscc.registry import DATASETS

PIPELINE = [{'type': 'LoadFrames'}, {'type': 'PickCaptions'}, {'type': 'FramesColorJitter'},
            {'type': 'FramesRandomFlip'}, {'type': 'PackChangeInputs'}]


def build(root, **options):
    return LEVIRCCDataset(str(root), **options)


def draws(dataset):
    """What the random transforms made of every sample."""
    items = [dataset[idx] for idx in range(len(dataset))]
    return [(int(item['inputs'].long().sum()), item['data_samples'].target_captions,
             item['data_samples'].get('flip')) for item in items]


def test_an_item_holds_what_the_contract_says(levir):
    item = build(levir).get_data_info(0)
    assert item['sample_id'] == 'train_000000' and item['split'] == 'train'
    assert item['img_path_from'].endswith('images/train/A/train_000000.png')
    assert item['img_path_to'].endswith('images/train/B/train_000000.png')
    assert item['gt_captions'][0] == 'a house appears on the left'
    assert item['gt_change_flag'] is True and 'seg_map_path' not in item
    assert build(levir).get_data_info(1)['gt_change_flag'] is False


def test_metainfo_tells_metrics_what_they_need(levir):
    facts = build(levir, split='val').metainfo
    assert facts['dataset_type'] == 'LEVIRCCDataset' and facts['task'] == 'pair'
    assert facts['language'] == 'en' and facts['classes'] is None
    assert 'no change has occurred' in facts['no_change_captions']


def test_split_none_takes_every_image(levir):
    assert len(build(levir, split=None)) == 12


def test_missing_change_flags_follow_from_the_captions(levir, edit_annotations):
    edit_annotations(levir, lambda images: [image.pop('changeflag') for image in images])
    dataset = build(levir)
    assert [dataset.get_data_info(i)['gt_change_flag'] for i in range(4)] == [
        True, False, True, False]


def test_randomness_depends_on_seed_epoch_and_index_only(levir):
    dataset = build(levir, pipeline=PIPELINE)
    first = draws(dataset)
    assert draws(dataset) == first
    dataset.set_epoch(1)
    second = draws(dataset)
    assert second != first
    dataset.set_epoch(0)
    assert draws(dataset) == first
    assert draws(build(levir, pipeline=PIPELINE, seed=1)) != first


def test_worker_processes_do_not_change_the_draws_and_see_the_epoch(levir):
    dataset = build(levir, pipeline=PIPELINE)
    loader = DataLoader(dataset, batch_size=2, num_workers=2, persistent_workers=True,
                        collate_fn=list)
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        batches = [int(item['inputs'].long().sum()) for batch in loader for item in batch]
        assert batches == [total for total, _, _ in draws(dataset)]


def test_test_mode_ignores_the_epoch(levir):
    dataset = build(levir, pipeline=PIPELINE, test_mode=True)
    first = draws(dataset)
    dataset.set_epoch(5)
    assert draws(dataset) == first


def test_a_copy_shares_the_epoch(levir):
    dataset = build(levir)
    twin = copy.deepcopy(dataset)
    dataset.set_epoch(3)
    assert twin.epoch == 3
    assert len(pickle.loads(pickle.dumps(build(levir)))) == 4


def test_a_dataset_is_found_below_the_data_home_and_in_it(levir, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(levir.parent))
    assert len(LEVIRCCDataset('LEVIR')) == 4
    monkeypatch.setenv('RSCC_DATA', str(levir))
    assert len(LEVIRCCDataset('LEVIR')) == 4


def test_missing_annotations_say_how_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'LEVIR-CC annotations not found at .*RSCC_DATA.*'
                       r'--data-root.*datasets\.md#levir-cc.*quickstart\.sh'):
        build(tmp_path / 'nowhere')


def test_an_unknown_split_names_the_nearest(levir):
    with pytest.raises(ValueError, match=r"no split 'tset' in .*'test', 'train', 'val'.*Did you "
                       r"mean 'test'\?"):
        build(levir, split='tset')


def test_annotations_without_splits_ask_for_none(levir, edit_annotations):
    edit_annotations(levir, lambda images: [image.pop('split') for image in images])
    with pytest.raises(ValueError, match=r'has no splits.*pass split=None'):
        build(levir)
    with pytest.raises(ValueError, match=r"needs \['split'\], but the entry of"):
        build(levir, split=None, img_from='{split}/A/{filename}')


def test_missing_images_are_counted_and_the_first_named(levir):
    for number in (1, 3):
        (levir / f'images/train/B/train_{number:06d}.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'2 of 8 image files are missing; first: '
                       r'.*B/train_000001\.png.*train_000003.*complete the download'):
        build(levir)
    assert len(build(levir, check_images=False)) == 4


def test_an_unknown_template_field_names_the_nearest(levir):
    with pytest.raises(ValueError, match=r"unknown field 'filenam'.*Did you mean 'filename'\?"):
        build(levir, img_from='images/{split}/A/{filenam}')


def test_an_image_in_two_splits_is_refused(levir, edit_annotations):
    def repeat(images):
        images.append({**images[0], 'split': 'test'})

    edit_annotations(levir, repeat)
    with pytest.raises(ValueError, match=r"'train_000000' in two splits, 'train' and 'test'"):
        build(levir, split=None, check_images=False)
    edit_annotations(levir, lambda images: images.append(images[4]))
    with pytest.raises(ValueError, match=r"'val_000000' twice in split 'val'"):
        build(levir, split='val')


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_an_image_in_two_splits_is_refused_whichever_split_is_read(levir, edit_annotations, split):
    edit_annotations(levir, lambda images: images.append({**images[0], 'split': 'test'}))
    same_place = dict(img_from='images/{filename}', img_to='images/{filename}')
    with pytest.raises(ValueError, match=r"'train_000000' in two splits, 'train' and 'test'"):
        build(levir, split=split, check_images=False, **same_place)
    # The same name in the folders of two splits is two images.
    assert len(build(levir, split=split, check_images=False)) == 4 + (split == 'test')


def test_an_empty_list_of_images_is_refused(levir):
    (levir / 'LevirCCcaptions.json').write_text(json.dumps({'images': []}))
    with pytest.raises(ValueError, match='lists no images at all'):
        build(levir)


def test_an_unreadable_image_names_sample_and_file(levir):
    path = levir / 'images/train/B/train_000001.png'
    path.write_bytes(path.read_bytes()[:200])
    dataset = build(levir, pipeline=PIPELINE)
    with pytest.raises(ValueError, match=r"sample 'train_000001': .*train_000001\.png' cannot be "
                       r'decoded: its end is missing'):
        dataset[1]


def test_an_error_inside_a_transform_names_the_sample(levir):
    def broken(results):
        raise IndexError('out of luck')

    with pytest.raises(RuntimeError, match="sample 'train_000002' of LEVIR-CC fails in the "
                       'pipeline: IndexError: out of luck'):
        build(levir, pipeline=[broken])[2]


def test_a_transform_that_returns_nothing_is_an_error_not_another_sample(levir):
    with pytest.raises(RuntimeError, match="transform returned nothing for sample 'train_000000'"):
        build(levir, pipeline=[lambda results: None])[0]


def test_it_builds_from_a_config_without_a_default_scope(levir):
    dataset = DATASETS.build({'type': 'LEVIRCCDataset', 'data_root': str(levir), 'split': 'val',
                              'pipeline': PIPELINE, 'indices': 3})
    assert len(dataset) == 3
    assert dataset[-1]['data_samples'].sample_id == 'val_000002'
    assert dataset[0]['inputs'].dtype.is_floating_point is False
    assert isinstance(dataset[0]['data_samples'].metainfo['ori_shape'], tuple)
    assert np.asarray(dataset[0]['inputs']).shape == (2, 3, 32, 32)


ALL = [{'type': 'LoadFrames'}, {'type': 'PickCaptions', 'mode': 'all'},
       {'type': 'FramesRandomFlip', 'prob': 1.0}, {'type': 'PackChangeInputs'}]


@pytest.mark.parametrize('language', ['en', 'zh'])
def test_a_dataset_brings_the_sentences_of_several_languages(levir, language):
    dataset = build(levir, language=language, languages=('en', 'zh'), pipeline=ALL)
    plain = build(levir, language=language)
    item = dataset.get_data_info(0)
    assert item['gt_captions'] == plain.get_data_info(0)['gt_captions']
    other = {'en': 'zh', 'zh': 'en'}[language]
    assert item['all_captions'] == [*item['gt_captions'],
                                    *build(levir, language=other).get_data_info(0)['gt_captions']]
    assert item['languages'] == (language, other)
    sample = dataset[0]['data_samples']
    assert len(sample.gt_captions) == 5 and len(sample.target_captions) == 10
    assert {'a house appears on the right', '右边出现一栋房子'} <= set(sample.target_captions)
    assert sample.metainfo['language'] == dataset.metainfo['language'] == language


def test_one_language_changes_nothing(levir):
    dataset = build(levir, languages=['en'])
    assert 'all_captions' not in dataset.get_data_info(0)
    assert dataset.get_data_info(0) == build(levir).get_data_info(0)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(languages=('en', 'cn')), "unknown language 'cn'"),
    (dict(languages=('zh', )), r"languages=\['zh'\] and language='en': expected a list that names"),
    (dict(languages='zh'), r"languages=\['zh'\] and language='en'")])
def test_wrong_languages_are_refused(levir, options, message):
    with pytest.raises(ValueError, match=message):
        build(levir, **options)


def test_a_file_without_one_of_the_languages_is_refused(levir, edit_annotations):
    edit_annotations(levir, lambda images: [
        sentence.update(raw_chinese='a house') for image in images
        for sentence in image['sentences']])
    with pytest.raises(ValueError, match=r"has no caption in 'zh', only such as 'a house': leave"):
        build(levir, languages=('en', 'zh'))
    edit_annotations(levir, lambda images: [
        sentence.pop('raw_chinese') for image in images for sentence in image['sentences']])
    with pytest.raises(ValueError, match="has no sentence in 'zh'"):
        build(levir, languages=('en', 'zh'))
