import json

import cv2
import numpy as np
import pytest

from rscc.datasets.tiles import TileDataset


@pytest.fixture
def town(tmp_path):
    """Four images, masks of two of them, and a list that names a third as empty."""
    (tmp_path / 'image').mkdir()
    (tmp_path / 'label').mkdir()
    draw = np.random.default_rng(0)
    for index in range(4):
        image = draw.integers(0, 255, (40, 50, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'image/town_{index}.png'), image)
        if index < 2:
            mask = np.zeros((40, 50), np.uint8)
            mask[5:20, 10 + index:30] = 255
            cv2.imwrite(str(tmp_path / f'label/town_{index}.png'), mask)
    (tmp_path / 'empty.txt').write_text('town_2.png\n')
    return tmp_path


def test_images_with_a_mask_are_taken_and_those_that_are_known_to_be_empty(town):
    assert len(TileDataset(str(town))) == 2
    dataset = TileDataset(str(town), empty='empty.txt')
    assert [dataset.get_data_info(i)['sample_id'] for i in range(3)] == [
        'town_0', 'town_1', 'town_2']
    assert [int(dataset.tile(i).mask.sum()) for i in range(3)] == [300, 285, 0]
    assert len(TileDataset(str(town), empty='all')) == 4


def test_patterns_choose_images(town):
    assert len(TileDataset(str(town), include=['*_1.png'])) == 1
    assert len(TileDataset(str(town), exclude=['*_1.png'])) == 1


def test_tiles_carry_their_resolution_and_city(town):
    tile = TileDataset(str(town), resolution=0.3, group='Utrecht').tile(0)
    assert (tile.resolution, tile.group, tile.image.shape) == (0.3, 'Utrecht', (40, 50, 3))


def test_it_segments_single_images_as_it_is(town):
    dataset = TileDataset(str(town), empty='empty.txt', pipeline=[
        dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PackChangeInputs')])
    for index, total in enumerate((300, 285, 0)):
        item = dataset[index]
        assert item['inputs'].shape == (1, 3, 40, 50)
        assert int(item['data_samples'].gt_sem_seg.data.sum()) == total


def test_polygons_in_pixels_count_beside_masks(town):
    pytest.importorskip('geopandas')
    (town / 'shapes').mkdir()
    square = dict(type='Polygon', coordinates=[[[30, 20], [40, 20], [40, 30], [30, 30], [30, 20]]])
    rows = dict(type='FeatureCollection', features=[dict(type='Feature', properties={},
                                                         geometry=square)])
    (town / 'shapes/town_0.geojson').write_text(json.dumps(rows))
    (town / 'shapes/town_3.geojson').write_text(json.dumps(rows))
    dataset = TileDataset(str(town), polygons='shapes')
    assert [int(dataset.tile(i).mask.sum()) for i in range(3)] == [400, 285, 100]
    assert dataset.tile(2).mask[25, 35] == 1


@pytest.mark.parametrize('options, message', [
    (dict(images='pictures'), 'no folder of images'),
    (dict(masks=None), 'none of 4 images is left'),
    (dict(resolution=0), 'must be positive'),
    (dict(empty='none.txt'), 'not found'),
])
def test_what_is_missing_is_named(town, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        TileDataset(str(town), **options)


def test_a_list_of_other_images_is_refused(town):
    (town / 'other.txt').write_text('city_1.png')
    with pytest.raises(ValueError, match='none of them is among the 4'):
        TileDataset(str(town), empty='other.txt')
