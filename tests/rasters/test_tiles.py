import json
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from rscc.rasters import tiles
from rscc.rasters.image_files import read_frame
from rscc.rasters.tiles import TileIndex, cut, read_index, scenes_of_folder, scenes_of_pair
from rscc.utils.paths import read_path_list

RNG = np.random.default_rng(0)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def scene(folder, height=100, width=70, ending='png', name='scene'):
    """Write a pair with a label of 0 and 255."""
    pixels = RNG.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    label = (RNG.random((height, width)) > 0.8).astype(np.uint8) * 255
    return {kind: save(folder / part / f'{name}.{ending}', values) for kind, part, values in (
        ('from', 'A', pixels[0]), ('to', 'B', pixels[1]), ('label', 'label', label))}


def read(path):
    return np.asarray(Image.open(path))


def grid(files, size=32, overlap=8, shares=None):
    return TileIndex(size, overlap, tuple(scenes_of_pair(files, shares)))


@pytest.mark.parametrize(('height', 'width', 'overlap'), [
    (100, 70, 8), (20, 150, 8), (9, 5, 8), (64, 96, 0), (70, 33, 0), (100, 70, 20)])
@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_tiles_are_parts_of_the_mirrored_image(tmp_path, height, width, overlap, ending):
    if ending == 'tif':
        pytest.importorskip('rasterio')
    files = scene(tmp_path / 'in', height, width, ending)
    index = grid(files, overlap=overlap)
    cut(index, tmp_path / 'out')
    tiles = index.grid(index.scenes[0])
    rows, columns = tiles.rows, tiles.columns
    for kind, folder in (('from', 'A'), ('to', 'B'), ('label', 'label')):
        image = read(files[kind])
        margin = [(rows.before, rows.after), (columns.before, columns.after), (0, 0)]
        padded = np.pad(image, margin[:image.ndim], mode='reflect')
        for row in range(rows.count):
            for column in range(columns.count):
                top, left = row * rows.step, column * columns.step
                tile = read(tmp_path / 'out' / folder / f'scene_{column + 1}_{row + 1}.png')
                assert np.array_equal(tile, padded[top:top + 32, left:left + 32])


def test_a_levir_scene_gives_36_tiles_named_column_first(tmp_path):
    files = scene(tmp_path / 'in', 1024, 1024)
    index = grid(files, 256, 64)
    cut(index, tmp_path / 'out')
    names = {path.name for path in (tmp_path / 'out' / 'A').iterdir()}
    assert names == {f'scene_{c}_{r}.png' for c in range(1, 7) for r in range(1, 7)}
    corner = read(tmp_path / 'out' / 'A' / 'scene_6_1.png')
    assert np.array_equal(corner[96:, :160], read(files['from'])[:160, 864:])


def test_a_real_scene_is_cut_without_loss(samples, tmp_path):
    folder = samples / 'torchange_demo_pair'
    if not folder.is_dir():
        pytest.skip(f"no real scene at '{folder}'")
    files = {'from': folder / 't1_img.png', 'to': folder / 't2_img.png'}
    cut(grid(files, 256, 0), tmp_path)
    image = read(files['to'])
    tiles = [[read(tmp_path / 'B' / f't1_img_{c}_{r}.png') for c in range(1, 5)]
             for r in range(1, 5)]
    assert np.array_equal(np.block([[[tile] for tile in row] for row in tiles]), image)
    assert len(list((tmp_path / 'A').iterdir())) == 16


def test_splits_get_folders_and_lists_that_move_with_them(tmp_path):
    for split, name in (('train', 'a'), ('train', 'b'), ('test', 'c')):
        scene(tmp_path / 'in' / split, 40, 40, name=name)
    index = TileIndex(32, 8, tuple(scenes_of_folder(tmp_path / 'in')))
    lists = cut(index, tmp_path / 'out')
    assert [path.name for path in lists] == ['train.txt', 'test.txt']
    (tmp_path / 'out').rename(tmp_path / 'moved')
    pairs = read_path_list(tmp_path / 'moved' / 'train.txt')
    assert len(pairs) == 8 and pairs[0].img_to == 'train/B/a_1_1.png'
    assert all((tmp_path / 'moved' / path).is_file()
               for pair in pairs for path in (pair.img_from, pair.img_to, pair.label))


def test_labels_keep_their_values(tmp_path):
    files = scene(tmp_path, 40, 40)
    values = RNG.integers(0, 6, (40, 40), dtype=np.uint8)
    palette = Image.fromarray(values, mode='P')
    palette.putpalette(bytes(range(256)) * 3)
    palette.save(files['label'])
    cut(grid(files, 40, 0), tmp_path / 'out')
    assert np.array_equal(read(tmp_path / 'out' / 'label' / 'scene_1_1.png'), values)
    colours = RNG.integers(0, 256, (40, 40, 4), dtype=np.uint8)
    save(files['label'], colours)
    cut(grid(files, 40, 0), tmp_path / 'other')
    assert np.array_equal(read(tmp_path / 'other' / 'label' / 'scene_1_1.png'), colours[..., :3])


def test_an_unlabelled_pair_is_cut_too(tmp_path):
    files = scene(tmp_path, 40, 40)
    del files['label']
    lists = cut(grid(files), tmp_path / 'out')
    assert not (tmp_path / 'out' / 'label').exists()
    assert lists[0].read_text().splitlines()[0] == 'A/scene_1_1.png  B/scene_1_1.png'


def test_shares_give_regions_that_share_no_pixel(tmp_path):
    files = scene(tmp_path, 50, 100)
    index = grid(files, shares=(0.6, 0.2, 0.2))
    assert [(s.split, s.stem, s.window) for s in index.scenes] == [
        ('train', 'scene_train', [0, 0, 60, 50]), ('val', 'scene_val', [60, 0, 20, 50]),
        ('test', 'scene_test', [80, 0, 20, 50])]
    cut(TileIndex(50, 0, index.scenes), tmp_path / 'out')
    image = read(files['to'])
    assert np.array_equal(read(tmp_path / 'out/val/B/scene_val_1_1.png')[:, :20], image[:, 60:80])


@pytest.mark.parametrize('shares', [(1.0,), (0.5, 0.4), (0.5, 0.6, -0.1), (0.25,) * 4])
def test_wrong_shares_are_refused(tmp_path, shares):
    with pytest.raises(ValueError, match=r'--shares .*expected two .*three .*whose sum is 1'):
        scenes_of_pair(scene(tmp_path, 40, 40), shares)


def test_a_second_run_writes_only_what_is_missing(tmp_path, monkeypatch):
    index = grid(scene(tmp_path))
    cut(index, tmp_path / 'out')
    lost = tmp_path / 'out' / 'B' / 'scene_2_3.png'
    before, content = lost.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    written, write = [], tiles.write_png
    monkeypatch.setattr(tiles, 'write_png', lambda path, pixels: (
        written.append(path), write(path, pixels)))
    cut(index, tmp_path / 'out')
    assert written == [lost] and lost.read_bytes() == content
    assert lost.stat().st_mtime_ns > before


def test_a_run_that_fails_leaves_whole_tiles_and_no_list(tmp_path, monkeypatch):
    index, count, encode = grid(scene(tmp_path)), iter(range(1000)), cv2.imencode

    def fails(*arguments):
        if next(count) == 9:
            raise OSError(28, 'No space left on device')
        return encode(*arguments)

    monkeypatch.setattr(cv2, 'imencode', fails)
    with pytest.raises(OSError, match='No space left'):
        cut(index, tmp_path / 'out', jobs=1)
    files = [path for path in (tmp_path / 'out').rglob('*') if path.is_file()]
    assert {path.suffix for path in files} == {'.png', '.json'}
    assert all(read(path).shape[:2] == (32, 32) for path in files if path.suffix == '.png')
    monkeypatch.undo()
    assert cut(index, tmp_path / 'out')[0].is_file()


def test_tiles_of_another_grid_are_not_mixed_in(tmp_path):
    files = scene(tmp_path)
    cut(grid(files), tmp_path / 'out')
    with pytest.raises(ValueError, match=r'holds tiles that were cut otherwise: overlap 8 there, '
                       r'0 here\. Choose another folder with --out'):
        cut(grid(files, overlap=0), tmp_path / 'out')
    with pytest.raises(ValueError, match='1 images there, 3 here'):
        cut(grid(files, shares=(0.4, 0.3, 0.3)), tmp_path / 'out')
    with pytest.raises(ValueError, match=r'scale None there, \[0, 100\] here'):
        cut(replace(grid(files), scale=(0, 100)), tmp_path / 'out')
    other = scene(tmp_path / 'other', 50, 50)
    with pytest.raises(ValueError, match="image 'scene': height 100 there, 50 here"):
        cut(grid(other), tmp_path / 'out')


def test_the_index_survives_a_round_trip(tmp_path):
    index = grid(scene(tmp_path), shares=(0.5, 0.5))
    index.write(tmp_path / 'out')
    assert read_index(tmp_path / 'out') == read_index(tmp_path / 'out' / 'tiles.json') == index


def test_a_missing_or_foreign_index_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tiles\.json'; .*cut writes it.*--image-size"):
        read_index(tmp_path)
    (tmp_path / 'tiles.json').write_text(json.dumps({'size': 3}))
    with pytest.raises(ValueError, match=r"index of tiles '.*tiles\.json' lacks 'format'\. Cut"):
        read_index(tmp_path)


def test_pairs_of_two_sizes_are_refused_before_anything_is_written(tmp_path):
    files = scene(tmp_path, 40, 40)
    save(files['label'], np.zeros((40, 41), np.uint8))
    with pytest.raises(ValueError, match=r"sizes differ: '.*A/scene.png' 40 x 40, .*"
                       r"'.*label/scene.png' 41 x 40.*Crop or warp"):
        scenes_of_pair(files)


def test_bands_that_need_a_mapping_leave_nothing_and_name_the_flags(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    files = {}
    for kind, name in (('from', 'before.tif'), ('to', 'after.tif')):
        files[kind] = tmp_path / name
        with rasterio.open(files[kind], 'w', driver='GTiff', height=40, width=40, count=4,
                           dtype='uint16', transform=rasterio.Affine(1, 0, 5, 0, -1, 5)) as file:
            file.write(RNG.integers(0, 3000, (4, 40, 40)).astype(np.uint16))
    with pytest.raises(ValueError, match=r"before\.tif' has 4 bands of uint16.*how to show it: "
                       r'--bands 3 2 1 --scale 0 10000$'):
        cut(grid(files), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    shown = replace(grid(files), bands=(3, 2, 1), scale=(0, 3000))
    assert cut(shown, tmp_path / 'out')[0].is_file()


@pytest.mark.parametrize('existed', [False, True])
def test_a_file_that_proves_damaged_takes_back_what_was_written(tmp_path, existed):
    rasterio = pytest.importorskip('rasterio')
    files = scene(tmp_path / 'in', 300, 70)
    with rasterio.open(tmp_path / 'b.tif', 'w', driver='GTiff', height=300, width=70, count=3,
                       dtype='uint8', blockysize=20,
                       transform=rasterio.Affine(1, 0, 5, 0, -1, 5)) as file:
        file.write(RNG.integers(0, 256, (3, 300, 70), dtype=np.uint8))
    whole = (tmp_path / 'b.tif').read_bytes()
    (tmp_path / 'b.tif').write_bytes(whole[:len(whole) // 2])
    files['to'] = tmp_path / 'b.tif'
    if existed:
        (tmp_path / 'out').mkdir()
    with pytest.raises(ValueError, match=r"b\.tif' cannot be decoded: rows"):
        cut(grid(files), tmp_path / 'out')
    assert (tmp_path / 'out').exists() is existed
    assert not existed or not any((tmp_path / 'out').iterdir())
    (tmp_path / 'b.tif').write_bytes(whole)
    assert cut(grid(files), tmp_path / 'out')[0].is_file()


def test_a_damaged_picture_is_found_before_anything_is_written(tmp_path):
    files = scene(tmp_path / 'in', 60, 60)
    files['to'].write_bytes(files['to'].read_bytes()[:-40])
    with pytest.raises(ValueError, match='cannot be decoded'):
        cut(grid(files), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_file_without_a_partner_is_named(tmp_path):
    scene(tmp_path, 40, 40)
    save(tmp_path / 'A' / 'lonely.png', np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r'1 file below .* without a partner, first: A/lonely.png'):
        scenes_of_folder(tmp_path)


def test_names_are_made_safe_and_must_stay_different(tmp_path):
    scene(tmp_path, 40, 40, name='my scene')
    assert scenes_of_folder(tmp_path)[0].stem == 'my_scene'
    scene(tmp_path, 40, 40, name='my_scene')
    with pytest.raises(ValueError, match=r"my scene.png' and .*named 'my_scene_\.\.\.'\. Rename"):
        scenes_of_folder(tmp_path)


def test_memory_does_not_grow_with_the_height_of_the_image(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    peaks = []
    for height in (300, 3000):
        path = tmp_path / f'{height}.tif'
        with rasterio.open(path, 'w', driver='GTiff', height=height, width=600, count=3,
                           dtype='uint8', compress='deflate',
                           transform=rasterio.Affine(1, 0, 5, 0, -1, 5)) as file:
            file.write(np.full((3, height, 600), 9, np.uint8))
        index = grid({'from': path, 'to': path}, 128, 32)
        tracemalloc.start()
        cut(index, tmp_path / f'out_{height}', jobs=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 3000 * 600 * 3


def test_tiles_of_more_than_three_bands_are_tiffs_of_these(tmp_path):
    pytest.importorskip('rasterio')
    from scene_files import write_plain
    stored = RNG.integers(0, 3000, (2, 5, 40, 40)).astype(np.uint16)
    files = {kind: write_plain(tmp_path / f'{kind}.tif', values)
             for kind, values in zip(('from', 'to'), stored, strict=True)}
    files['label'] = save(tmp_path / 'label.png', (RNG.random((40, 40)) > 0.8).astype(np.uint8))
    index = replace(grid(files), bands=(3, 2, 1, 5), scale=(0, 3000))
    rows = read_path_list(cut(index, tmp_path / 'out')[0])
    first = rows[0]
    assert str(first.img_from).endswith('.tif') and str(first.label).endswith('.png')
    colours = read_path_list(cut(replace(index, bands=(3, 2, 1)), tmp_path / 'rgb')[0])
    infrared = read_path_list(cut(replace(index, bands=(5, 5, 5)), tmp_path / 'grey')[0])
    for row, picture, grey in zip(rows, colours, infrared, strict=True):
        tile = read_frame(tmp_path / 'out' / row.img_to, (1, 2, 3, 4))
        assert np.array_equal(tile[..., :3], read(tmp_path / 'rgb' / picture.img_to))
        assert np.array_equal(tile[..., 3], read(tmp_path / 'grey' / grey.img_to)[..., 0])
    assert cut(index, tmp_path / 'out')  # nothing is written a second time
