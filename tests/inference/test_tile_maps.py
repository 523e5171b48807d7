import shutil

import numpy as np
import pytest
from PIL import Image

from rscc.inference.tile_maps import Merging, merge_tiles, scenes_of_tiles
from rscc.rasters.tiles import TileIndex, cut, scenes_of_folder, scenes_of_pair

RNG = np.random.default_rng(0)


def blobs(height, width):
    """Return a mask of 0 and 255 with regions rather than dots."""
    coarse = RNG.random((-(-height // 10), -(-width // 10))) > 0.6
    return np.kron(coarse, np.ones((10, 10)))[:height, :width].astype(np.uint8) * 255


@pytest.fixture
def levir(tmp_path):
    """Two test scenes and one for training, cut into tiles of 32 that share 8; returns root."""
    for split, name in (('train', 'train_1'), ('test', 'test_1'), ('test', 'test_2')):
        for part in ('A', 'B', 'label'):
            folder = tmp_path / split / part
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(blobs(90, 70)).save(folder / f'{name}.png')
    index = TileIndex(32, 8, tuple(scenes_of_folder(tmp_path)))
    cut(index, tmp_path / 'cut')
    return tmp_path, index


def test_perfect_tiles_give_the_label_back_and_full_marks(levir):
    root, index = levir
    written, scores = merge_tiles(root / 'cut/test/label', index, root / 'out',
                                  label=root / 'test/label')
    assert sorted(path.name for path in written) == ['test_1.png', 'test_2.png']
    for path in written:
        assert path.parent.name == 'masks'
        assert np.array_equal(np.asarray(Image.open(path)),
                              np.asarray(Image.open(root / 'test/label' / path.name)))
    assert scores['change/F1_changed'] == scores['change/OA'] == 1
    assert not (root / 'out/probabilities').exists()


def test_scores_are_those_of_one_matrix_over_all_images(levir):
    root, index = levir
    tiles = root / 'cut/test/label'
    for path in tiles.glob('test_2_*'):  # nothing is found on the second image
        Image.new('L', (32, 32)).save(path)
    scores = merge_tiles(tiles, index, root / 'out', label=root / 'test/label')[1]
    changed = [np.asarray(Image.open(root / f'test/label/test_{n}.png')) > 0 for n in (1, 2)]
    recall = changed[0].sum() / (changed[0].sum() + changed[1].sum())
    assert scores['change/recall_changed'] == pytest.approx(recall)
    assert scores['change/precision_changed'] == 1
    assert scores['change/OA'] == pytest.approx(1 - changed[1].mean() / 2)


def test_probabilities_are_averaged_and_written_on_request(levir):
    root, index = levir
    tiles = root / 'tiles'
    shutil.copytree(root / 'cut/test/label', tiles)
    for number, path in enumerate(sorted(tiles.glob('test_1_*'))):
        Image.fromarray(np.full((32, 32), 1000 * number, np.uint16)).save(path)
    options = Merging(probabilities=True, threshold=3000 / 65535)
    paths, _ = merge_tiles(tiles, index, root / 'out', options=options)
    mask, chances = (np.asarray(Image.open(path)) for path in paths[:2])
    assert paths[1].parent.name == 'probabilities' and chances.dtype == np.uint16
    assert chances[0, 0] == 0 and (mask > 0).tolist() == (chances > 3000).tolist()
    assert len(np.unique(chances)) > len(list(tiles.glob('test_1_*')))


def test_a_geotiff_scene_becomes_a_geotiff_map_region_by_region(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    label = blobs(70, 100)
    files = {}
    for kind in ('from', 'to', 'label'):
        files[kind] = tmp_path / f'{kind}.tif'
        with rasterio.open(files[kind], 'w', driver='GTiff', height=70, width=100, count=1,
                           dtype='uint8', crs='EPSG:2193',
                           transform=rasterio.Affine(0.5, 0, 1000, 0, -0.5, 2000)) as file:
            file.write(label, 1)
    index = TileIndex(32, 8, tuple(scenes_of_pair(files, (0.6, 0.4))))
    cut(index, tmp_path / 'cut')
    written, scores = merge_tiles(tmp_path / 'cut/test/label', index, tmp_path / 'out',
                                  label=files['label'])
    assert [path.name for path in written] == ['from_test.tif']
    with rasterio.open(written[0]) as file:
        assert file.crs.to_epsg() == 2193 and file.transform.c == 1030 and file.transform.f == 2000
        assert np.array_equal(file.read(1), label[:, 60:])
    assert scores['change/F1_changed'] == 1


def test_tiles_of_other_programs_need_the_image_size_only(levir):
    root, _ = levir
    scenes = scenes_of_tiles(root / 'cut/test/label', 90, 70)
    assert [scene.stem for scene in scenes] == ['test_1', 'test_2']
    written, scores = merge_tiles(root / 'cut/test/label', TileIndex(32, 8, tuple(scenes)),
                                  root / 'out', label=root / 'test/label')
    assert scores['change/F1_changed'] == 1 and written[0].name == 'test_1.png'
    with pytest.raises(ValueError, match=r'\d+ tiles in .* lie outside the grid \(size 32, overlap '
                       r'8\), first: test_1_1_3'):
        merge_tiles(root / 'cut/test/label',
                    TileIndex(32, 8, tuple(scenes_of_tiles(root / 'cut/test/label', 50, 70))),
                    root / 'out')


def test_missing_tiles_are_counted_before_anything_is_written(levir):
    root, index = levir
    for name in ('test_1_2_1', 'test_2_1_1', 'test_2_2_4'):
        (root / f'cut/test/label/{name}.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'3 of 24 tiles are missing in .*, first: '
                       'test_1_2_1, test_2_1_1, test_2_2_4. Test all tiles'):
        merge_tiles(root / 'cut/test/label', index, root / 'out')
    assert not (root / 'out').exists()


@pytest.mark.parametrize(('change', 'error', 'words'), [
    (dict(splits=['tset']), ValueError, r"no split \['tset'\] .* it has \['train', 'test'\]"),
    (dict(splits=['train']), FileNotFoundError, '12 of 12 tiles are missing'),
    (dict(folder='nowhere'), FileNotFoundError, "no folder of tiles '.*nowhere'.*--probabilities"),
    (dict(folder='train/label'), FileNotFoundError, "belongs to an image of the index, whose first"
     " is 'train_1'; first file: train_1"),
    (dict(label='train/label'), FileNotFoundError, "no label named 'test_1' in"),
    (dict(label='none.png'), FileNotFoundError, "no such image: '.*none.png'")])
def test_wrong_names_are_told(levir, change, error, words):
    root, index = levir
    folder = root / change.pop('folder', 'cut/test/label')
    if 'label' in change:
        change['label'] = root / change['label']
    with pytest.raises(error, match=words):
        merge_tiles(folder, index, root / 'out', **change)
    assert not (root / 'out').exists()


def test_labels_of_another_size_or_with_other_values_are_refused(levir):
    root, index = levir
    path = root / 'test/label/test_2.png'
    Image.new('L', (70, 91)).save(path)
    with pytest.raises(ValueError, match=r"test_2\.png' is 70 x 91, image 'test_2' is 70 x 90"):
        merge_tiles(root / 'cut/test/label', index, root / 'out', label=root / 'test/label')
    assert not (root / 'out').exists()
    Image.new('L', (70, 90), 7).save(path)
    with pytest.raises(ValueError, match=r"test_2\.png' holds the values \[7\]; {0, 255} or"):
        merge_tiles(root / 'cut/test/label', index, root / 'out', label=root / 'test/label')
    assert not (root / 'out/masks/test_2.png').exists()


def test_one_name_in_two_splits_asks_which_is_meant(tmp_path):
    for split in ('train', 'test'):
        for part in ('A', 'B', 'label'):
            (tmp_path / split / part).mkdir(parents=True)
            Image.fromarray(blobs(40, 40)).save(tmp_path / split / part / '1.png')
    index = TileIndex(32, 8, tuple(scenes_of_folder(tmp_path)))
    cut(index, tmp_path / 'cut')
    with pytest.raises(ValueError, match=r"image '1' is in several .*'train', 'test'.*--splits"):
        merge_tiles(tmp_path / 'cut/test/label', index, tmp_path / 'out')
    merge_tiles(tmp_path / 'cut/test/label', index, tmp_path / 'out', splits=['test'])
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'out/masks/1.png')),
                          np.asarray(Image.open(tmp_path / 'test/label/1.png')))


def test_files_that_are_no_tiles_are_told(tmp_path):
    Image.new('L', (4, 4)).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match='names like <image>_<column>_<row>'):
        scenes_of_tiles(tmp_path, 10, 10)
