import gzip
import json
from collections import Counter

import pytest

from rscc.datasets.rsicd import RSICDDataset

PIPELINE = [{'type': 'LoadFrames'}, {'type': 'PickCaptions'}, {'type': 'PackChangeInputs'}]


@pytest.fixture
def folder(samples):
    root = samples / 'rsicd_captions'
    if not root.is_dir():
        pytest.skip(f"no real annotations at '{root}'")
    return root


def test_coco_annotations_of_the_official_test_split_load(folder):
    dataset = RSICDDataset(str(folder), 'rsicd_official_test_coco.json.gz', split=None,
                           check_images=False)
    captions = sum(len(dataset.get_data_info(idx)['gt_captions']) for idx in range(len(dataset)))
    assert (len(dataset), captions) == (1094, 5469)
    assert dataset.metainfo['task'] == 'single'
    with pytest.raises(ValueError, match='has no splits'):
        RSICDDataset(str(folder), 'rsicd_official_test_coco.json.gz', split='test')


def test_the_published_splits_are_those_of_the_official_file(folder):
    data = json.loads(gzip.decompress(
        (folder / 'classification_dataset_rsicd.json.gz').read_bytes()))
    splits = Counter(image['split'] for image in data['images'])
    assert splits == {'train': 8734, 'val': 1093, 'test': 1094}
    assert sum(splits.values()) == 10921
    assert len({image['label'] for image in data['images']}) == 31  # 'playfields' beside the 30
    with pytest.raises(ValueError, match=r"'airport_1\.jpg' has no captions"):
        RSICDDataset(str(folder), 'classification_dataset_rsicd.json.gz')


@pytest.mark.parametrize(('name', 'images', 'sentences'), [
    ('captions_val2017.json', 1092, 5460), ('captions_test2017.json', 1093, 5465)])
def test_the_splits_of_another_repository_load_whole(folder, name, images, sentences):
    dataset = RSICDDataset(str(folder), name, split=None, check_images=False)
    texts = [dataset.get_data_info(row)['gt_captions'] for row in range(len(dataset))]
    assert (len(texts), sum(map(len, texts))) == (images, sentences)


def test_real_images_become_single_frames(folder, tmp_path):
    source = json.loads((folder / 'captions_test2017.json').read_text(encoding='utf-8'))
    images = [{'filename': path.name, 'split': 'train', 'captions': ['an airport']}
              for path in sorted((folder / 'images').glob('*.jpg'))]
    assert len(images) == 11 and source['annotations']
    (tmp_path / 'dataset_rsicd.json').write_text(json.dumps({'images': images}))
    (tmp_path / 'RSICD_images').symlink_to(folder / 'images')
    packed = RSICDDataset(str(tmp_path), pipeline=PIPELINE)[0]
    sample = packed['data_samples']
    assert packed['inputs'].shape == (1, 3, 224, 224)
    assert sample.img_path.endswith('.jpg') and 'gt_change_flag' not in sample
    assert sample.target_captions == ['an airport']
