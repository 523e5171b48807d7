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

from rscc.datasets.ucm import UCMCaptionsDataset
from rscc.text import split_words


@pytest.fixture
def folder(samples):
    return need(samples, 'ucm_captions')


@pytest.fixture
def splits(folder):
    return load(UCMCaptionsDataset, folder, release='modified')


def test_all_2100_images_load_in_their_published_splits(splits):
    assert counts_of(splits) == {'train': (1680, 8400), 'val': (210, 1050), 'test': (210, 1050)}


def test_the_captions_are_those_that_were_counted(folder, splits):
    words = [split_words(text) for dataset in splits.values() for texts in captions_of(dataset)
             for text in texts]
    assert max(map(len, words)) == 22
    assert (seen_in_train(splits, 'val'), seen_in_train(splits, 'test')) == (662, 573)
    found = sentences_of(folder / 'dataset_ucm_modified.json')
    assert sum(len({s['raw'] for s in row}) < 5 for row in found) == 448
    assert len({s['raw'] for row in found for s in row}) == 2031  # 2,032 before the corrections


def test_people_agree_with_each_other_as_published(folder):
    assert first_against_others(folder / 'dataset_ucm_modified.json') == pytest.approx(
        [.797, .741, .702, .657], abs=6e-4)


def test_real_images_become_single_frames(folder):
    dataset = UCMCaptionsDataset(str(folder), release='modified', check_images=False, pipeline=[
        {'type': 'LoadFrames'}, {'type': 'PickCaptions'}, {'type': 'PackChangeInputs'}])
    packed = dataset[0]
    assert packed['inputs'].shape == (1, 3, 256, 256)
    assert packed['data_samples'].sample_id == '1'
    assert packed['data_samples'].img_path.endswith('imgs/1.tif')


def test_an_image_that_is_named_but_missing_is_an_error(folder):
    with pytest.raises(FileNotFoundError, match=r'UCM-captions: 1671 of 1680 image files are '
                       r'missing; first: .*imgs/10.*datasets\.md#ucm-captions'):
        UCMCaptionsDataset(str(folder), release='modified')
