import json

import pytest

from rscc.datasets.rsicd import RSICDDataset
from rscc.datasets.sydney import SydneyCaptionsDataset
from rscc.datasets.ucm import UCMCaptionsDataset

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
