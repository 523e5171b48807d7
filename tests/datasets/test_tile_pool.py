import cv2
import numpy as np
import pytest

from rscc.datasets.tile_pool import TilePool, View, covers, cut, join
from rscc.datasets.tiles import Tile, TileDataset

GROUND = (90, 110, 70)


def town(size=(200, 200), resolution=0.5, boxes=((10, 10, 20, 24), (50, 40, 22, 18)), **options):
    """A tile of ground with red roofs (top, left, rows, columns)."""
    image, mask = np.full((*size, 3), GROUND, np.uint8), np.zeros(size, np.uint8)
    for top, left, rows, columns in boxes:
        image[top:top + rows, left:left + columns] = (200, 60, 50)
        mask[top:top + rows, left:left + columns] = 1
    return Tile('t', image, mask, resolution, options.pop('group', 'town'), **options)


def rng(seed=0):
    return np.random.default_rng(seed)


def red(image):
    return image[..., 0].astype(int) - image[..., 1] > 60


@pytest.mark.parametrize('size', [(64, 64), (48, 80)])
def test_views_have_their_size_and_show_objects_where_the_mask_says(size):
    for seed in range(12):
        view = cut(town(), size, 0.5, rng(seed))
        assert view.image.shape == (*size, 3) and view.mask.shape == size
        assert (red(view.image) == (view.mask == 1)).mean() > 0.98


@pytest.mark.parametrize('resolution', [0.25, 0.5, 1.0])
@pytest.mark.parametrize('sides', [(100, 100), (60, 220)])
def test_objects_are_seen_at_their_true_size_at_every_resolution(sides, resolution):
    """Every house is 12 m long: no view may show one that is longer or shorter."""
    houses = [(top, left, 24, 24) for top in range(4, sides[0] - 28, 40)
              for left in range(4, sides[1] - 28, 40)]
    pool = TilePool([town(sides, boxes=houses)])
    lengths = []
    for seed in range(10):
        view = pool.view((192, 192), resolution, rng(seed))
        assert view.mask.shape == (192, 192)
        stats = cv2.connectedComponentsWithStats(view.mask)[2][1:]
        lengths += [max(row[cv2.CC_STAT_WIDTH], row[cv2.CC_STAT_HEIGHT]) for row in stats]
    # Houses at a seam are cut off or touch another: the median is what a whole one measures.
    assert np.median(lengths) == pytest.approx(12 / resolution, rel=0.15)


def test_a_view_is_divided_only_where_no_tile_fills_it():
    large, small = town((400, 400), group='a'), town((64, 64), group='b')
    assert covers(large, (256, 256), 0.5) and not covers(small, (256, 256), 0.5)
    assert covers(town((60, 300)), (256, 50), 0.5)
    colours = {0.5: set(), 2.0: set()}
    for resolution, found in colours.items():
        tiles = [town((400, 400), group=str(grey)) for grey in (0, 1)]
        for tile, grey in zip(tiles, (10, 240), strict=True):
            tile.image[...] = grey
        for seed in range(6):
            found.add(len(np.unique(TilePool(tiles).view((256, 256), resolution, rng(seed)).image)))
    assert colours[0.5] == {1} and 2 in colours[2.0]


def test_halves_are_as_many_as_asked():
    tiles = [town((300, 300), group=str(grey)) for grey in range(4)]
    for grey, tile in enumerate(tiles):
        tile.image[...] = 60 * grey
    views = [TilePool(tiles).view((128, 128), 0.5, rng(seed), cuts=2).image for seed in range(8)]
    assert max(len(np.unique(view)) for view in views) > 2


def test_a_tile_of_two_dates_gives_views_at_both():
    later = np.full((200, 200, 3), 200, np.uint8)
    pool = TilePool([town(), town(other_dates=(later, ), group='dated')])
    greys = set()
    for seed in range(8):
        view = pool.dated_view((64, 64), 0.5, rng(seed))
        first, second = view.image, view.second()
        assert np.array_equal(second.mask, view.mask) and second.image is not view.again
        greys.add((bool((first == 200).all()), bool((second.image == 200).all())))
    assert greys == {(True, False), (False, True)}


def test_joined_views_keep_the_second_date_of_either():
    one = View(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))
    two = View(np.ones((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8),
               np.full((4, 4, 3), 2, np.uint8))
    assert join(one, one, 0).again is None
    joined = join(one, two, 1)
    assert joined.mask[0].tolist() == [0] * 4 + [1] * 4
    assert joined.second().image[0, :, 0].tolist() == [0] * 4 + [2] * 4


def test_dates_are_read_from_folders_and_from_a_series(tmp_path):
    for folder in ('A', 'B', 'label'):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / 'A/x.png'), np.full((40, 50, 3), 10, np.uint8))
    cv2.imwrite(str(tmp_path / 'B/x.png'), np.full((41, 50, 3), 20, np.uint8))
    cv2.imwrite(str(tmp_path / 'label/x.png'), np.full((40, 50), 255, np.uint8))
    data = TileDataset(str(tmp_path), images='A', other_dates=['B'])
    tile, = data.tiles()
    assert tile.mask.shape == (40, 50) and tile.other_dates[0].shape == (40, 50, 3)
    assert tile.image.max() == 10 and tile.other_dates[0].min() == 20
    (tmp_path / 'B/x.png').rename(tmp_path / 'A/y.png')
    tile, = TileDataset(str(tmp_path), images='A', masks=None, empty='all', series=True).tiles()
    assert tile.image.shape == tile.other_dates[0].shape == (40, 50, 3)
    with pytest.raises(FileNotFoundError, match='has no image of its name in'):
        data.tiles()
