import json

import pytest

from rscc.apis.named_datasets import NAMES, build_dataset
from rscc.registry import DATASETS


@pytest.fixture
def root(tmp_path):
    images = [{'filename': '1.tif', 'split': 'train',
               'sentences': [{'raw': 'a road .', 'raw_chinese': '一条路.'}]}]
    for name in ('dataset.json', 'dataset_sydney_cn.json', 'dataset_sydney_modified.json'):
        (tmp_path / name).write_text(json.dumps({'images': images}))
    return tmp_path


def test_short_names_are_datasets():
    assert all(DATASETS.get(kind) is not None for kind, _ in NAMES.values())


@pytest.mark.parametrize(('name', 'language'), [
    ('sydney', 'en'), ('sydney_cn', 'zh'), ('SydneyCaptionsDataset', 'en')])
def test_a_dataset_is_built_by_name(root, name, language):
    dataset = build_dataset(name, str(root), check_images=False)
    assert dataset.metainfo['language'] == language and dataset.split is None
    assert build_dataset(name, str(root), split='train', check_images=False).split == 'train'


def test_a_corrected_release_has_a_short_name(root):
    for dataset in (build_dataset('sydney_modified', str(root), check_images=False),
                    build_dataset('sydney', str(root), 'dataset_sydney_modified.json',
                                  check_images=False)):
        assert dataset.metainfo['name'] == 'sydney_modified'
        assert dataset.ann_file.endswith('dataset_sydney_modified.json')
    with pytest.raises(ValueError, match=r"no dataset 'ucm_modifed'.*with _modified for the "
                       r"corrected re-release.*Did you mean 'ucm_modified'\?"):
        build_dataset('ucm_modifed', str(root))


def test_an_unknown_name_has_a_nearest_one(root):
    with pytest.raises(ValueError, match=r"no dataset 'sydny_cn'.*Did you mean 'sydney_cn'\?"):
        build_dataset('sydny_cn', str(root))
