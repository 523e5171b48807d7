import errno
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_scenes import SMALL, Difference, block_files, damage, pictures, write_pair, write_tiff
from PIL import Image

from rscc.scenes import block_files as files
from rscc.scenes import run as run_module
from rscc.scenes.block_files import BlockFolder, OtherRun
from rscc.scenes.contracts import NODATA
from rscc.scenes.preparation import SceneOptions, ScenePair
from rscc.scenes.run import SceneRun, run_scenes

rasterio = pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')


def rows_of(folder):
    tables = [geopandas.read_file(folder / 'changes.gpkg', layer=layer)
              for layer in ('changes', 'sentences')]
    assert all(len(table) for table in tables)
    return [table.to_wkt().to_json(orient='records') for table in tables]


def same_results(one, other):
    assert block_files(one) == block_files(other)
    assert (one / 'change.tif').read_bytes() == (other / 'change.tif').read_bytes()
    assert rows_of(one) == rows_of(other)
    return True


def in_process(repo, pair, out, *arguments):
    """Answer the pair in a process of its own."""
    return subprocess.Popen(
        [sys.executable, repo / 'tests/fake_scenes.py', pair.img_from, pair.img_to, '--out', out,
         *map(str, arguments)], cwd=repo, env=os.environ | {'PYTHONPATH': str(repo)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_four_parts_in_any_order_equal_one_run(pair, whole, tmp_path):
    out = tmp_path / 'parts'
    done = [run_scenes([pair], Difference(), out, SMALL, part=(number, 4))
            for number in (3, 1, 4, 2)]
    assert [part.blocks for part in done] == [2, 3, 2, 2] and not (out / 'change.tif').exists()
    combined = run_scenes([pair], Difference(), out, SMALL, combine=True)
    assert (combined.blocks, combined.found) == (0, 9)
    assert same_results(whole, out)


@pytest.mark.parametrize('scale', [
    'percentile', (100, 9000), ((101.7, 8000.9), (3.3, 9000.3), (250.1, 12000.7))])
def test_parts_read_alike_whether_they_look_at_the_scene_or_are_told(tmp_path, scale):
    """The first part finds out about the scene, the others take what it found."""
    earlier, later = (date.astype(np.uint16) * 37 + 11 for date in pictures())
    pair = write_pair(tmp_path / 'data', dates=(earlier, later + 500))
    options = replace(SMALL, scale=scale, match_histogram=True, force=True)
    run_scenes([pair], Difference(), tmp_path / 'whole', options)
    for number in (1, 2):
        run_scenes([pair], Difference(), tmp_path / 'parts', options, part=(number, 2))
    run_scenes([pair], Difference(), tmp_path / 'parts', options, combine=True)
    assert same_results(tmp_path / 'whole', tmp_path / 'parts')
    again = SceneRun([pair], Difference(), tmp_path / 'whole', options)
    first = SceneRun([pair], Difference(), tmp_path / 'new', options)
    assert again.record() == first.record() and again.blocks == first.blocks
    pixels = [run.scenes['town'].reader.read((0, 0, 420, 300))[0] for run in (first, again)]
    assert np.array_equal(*pixels)


class Enlargeable(Difference):
    """A detector that answers windows of any size."""

    def __init__(self, factor=1):
        super().__init__(64 * factor, heads=('change_head',))
        self.factor = factor

    def enlarged(self, factor):
        return Enlargeable(factor)


def test_parts_take_the_windows_that_the_first_has_chosen(pair, tmp_path, monkeypatch):
    factors, said, options = [2, 4, 1], [], replace(SMALL, choose_window=True)
    monkeypatch.setattr(run_module, 'choose_windows', lambda predictor, *_: (
        predictor.enlarged(factors.pop(0)), 'tried'))
    for number in (1, 2, 3):
        run_scenes([pair], Enlargeable(), tmp_path, options, part=(number, 3), say=said.append)
    done = run_scenes([pair], Enlargeable(), tmp_path, options, combine=True)
    assert factors == [4, 1] and said.count('tried') == 1
    assert done.summaries['town']['model']['window'] == [128, 128]


def test_a_run_says_what_it_did(pair, tmp_path):
    predictor = Difference()
    done = run_scenes([pair], predictor, tmp_path / 'out', SMALL)
    assert (done.blocks, done.found, done.gaps) == (9, 0, 0)
    assert done.windows == len(predictor.seen) >= 54
    assert done.megapixels == pytest.approx(0.126) and done.rate > 0
    assert list(done.summaries) == ['town'] and all(path.is_file() for path in done.files)
    again = run_scenes([pair], predictor, tmp_path / 'out', SMALL)
    assert (again.blocks, again.found, again.windows) == (0, 9, 0)


def test_the_blocks_may_have_any_size(pair, whole, tmp_path):
    for side in (70, 2000):
        out = tmp_path / str(side)
        run_scenes([pair], Difference(), out, replace(SMALL, block_pixels=side**2))
        pixels = [rasterio.open(folder / 'change.tif').read() for folder in (whole, out)]
        assert np.array_equal(*pixels)
        assert rows_of(out) == rows_of(whole)


def test_combining_names_the_blocks_of_a_missing_part(pair, tmp_path):
    for number in (1, 3):
        run_scenes([pair], Difference(), tmp_path, SMALL, part=(number, 3))
    with pytest.raises(FileNotFoundError, match=r'3 of 9 blocks are missing.*town_0000000_0000130'):
        run_scenes([pair], Difference(), tmp_path, SMALL, combine=True)
    assert not (tmp_path / 'change.tif').exists()


def test_combining_before_anything_is_done_names_blocks(pair, tmp_path):
    with pytest.raises(FileNotFoundError, match='9 of 9 blocks are missing'):
        run_scenes([pair], Difference(), tmp_path, SMALL, combine=True)


@pytest.mark.parametrize('part', [(0, 4), (5, 4)])
def test_a_part_that_does_not_exist_is_refused(pair, tmp_path, part):
    with pytest.raises(ValueError, match='expected a part from 1/4'):
        run_scenes([pair], Difference(), tmp_path, SMALL, part=part)


def test_a_part_cannot_combine(pair, tmp_path):
    with pytest.raises(ValueError, match='--part and --combine exclude each other'):
        run_scenes([pair], Difference(), tmp_path, SMALL, part=(1, 2), combine=True)


def with_settings(overrides, threshold=0.5):
    predictor = Difference()
    predictor.overrides = overrides
    predictor.facts = replace(predictor.facts, threshold=threshold)
    return predictor


def test_the_summary_tells_the_settings_that_were_given(pair, tmp_path):
    done = run_scenes([pair], with_settings({'model.x': '2'}), tmp_path, SMALL)
    assert done.summaries['town']['provenance']['options']['overrides'] == {'model.x': '2'}


def test_a_list_of_scenes_holds_no_pixels_of_those_that_wait(tmp_path):
    pairs = []
    for name in ('one', 'two'):
        paths = [str(tmp_path / f'{name}_{date}.png') for date in ('from', 'to')]
        for path, pixels in zip(paths, pictures(), strict=True):
            Image.fromarray(pixels).save(path)
        pairs.append(ScenePair(name, *paths))
    run = SceneRun(pairs, Difference(), tmp_path / 'list', SMALL)

    def held():
        return [name for name, scene in run.scenes.items() if scene.reader._reduced
                or any(date._pixels is not None for date in scene.reader.dates)]

    assert held() == []
    run.combine(run.folder(), run.answer(run.folder()))
    assert held() == []
    run_scenes(pairs[1:], Difference(), tmp_path / 'alone', SMALL)
    assert ((tmp_path / 'list/two/change.tif').read_bytes()
            == (tmp_path / 'alone/change.tif').read_bytes())


def test_another_run_in_the_folder_is_refused(pair, whole, tmp_path):
    before = block_files(whole)
    for change, what in ((dict(predictor=Difference(weights_hash='b')), 'weights'),
                         (dict(predictor=Difference(overlap=32)), 'overlap'),
                         (dict(predictor=with_settings({'model.x': '2'})), 'overrides'),
                         (dict(predictor=with_settings({}, 0.7)), 'threshold'),
                         (dict(options=replace(SMALL, block_pixels=100)), 'block_pixels')):
        given = dict(predictor=Difference(), options=SMALL) | change
        with pytest.raises(OtherRun, match=rf'differs in {what} .*--overwrite'):
            run_scenes([pair], given['predictor'], whole, given['options'])
    write_pair(Path(pair.img_from).parent, dates=pictures(seed=1))
    with pytest.raises(OtherRun, match='differs in scenes'):
        run_scenes([pair], Difference(), whole, SMALL)
    assert block_files(whole) == before
    done = run_scenes([pair], Difference(), whole, SMALL, overwrite=True)
    assert done.blocks == 9 and block_files(whole) != before


def test_a_moved_folder_of_images_goes_on(pair, whole, tmp_path):
    moved = tmp_path / 'elsewhere'
    Path(pair.img_from).parent.rename(moved)
    there = ScenePair('town', *(str(moved / Path(date).name) for date in pair.dates))
    assert run_scenes([there], Difference(), whole, SMALL).found == 9


def test_a_damaged_block_is_named_and_done_again_once_it_is_deleted(pair, whole):
    path = sorted((whole / 'blocks').glob('*.npz'))[4]
    before = path.read_bytes()
    middle = len(before) // 2
    path.write_bytes(before[:middle] + b'\xff' * 60 + before[middle + 60:])
    with pytest.raises(ValueError, match=rf'{path.name}.*is damaged'):
        run_scenes([pair], Difference(), whole, SMALL)
    path.unlink()
    assert run_scenes([pair], Difference(), whole, SMALL).blocks == 1
    assert path.read_bytes() == before


def test_a_full_disk_keeps_the_blocks_before(pair, whole, tmp_path, monkeypatch):
    write, left = files.np.lib.format.write_array, [10]

    def filling(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, 'No space left on device')
        write(*args, **kwargs)

    monkeypatch.setattr(files.np.lib.format, 'write_array', filling)
    with pytest.raises(OSError, match=r'No space left.*\.npz'):
        run_scenes([pair], Difference(), tmp_path / 'out', SMALL)
    monkeypatch.undo()
    assert len(block_files(tmp_path / 'out')) == 3, 'three arrays a block'
    done = run_scenes([pair], Difference(), tmp_path / 'out', SMALL)
    assert (done.found, done.blocks) == (3, 6)
    assert same_results(whole, tmp_path / 'out')


def test_a_model_that_fails_keeps_the_blocks_before(pair, tmp_path):
    predictor = Difference()
    answer, calls = predictor.predict, []

    def failing(windows, describe):
        calls.append(len(windows))
        if len(calls) > 5:
            raise RuntimeError('out of memory')
        return answer(windows, describe)

    predictor.predict = failing
    with pytest.raises(RuntimeError, match='out of memory'):
        run_scenes([pair], predictor, tmp_path, SMALL)
    assert run_scenes([pair], Difference(), tmp_path, SMALL).found >= 1


def test_two_processes_on_the_same_part_do_no_damage(repo, pair, whole, tmp_path):
    out = tmp_path / 'twice'
    processes = [in_process(repo, pair, out, '--part', '1/2', '--pause', 0.02) for _ in range(2)]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    assert len(block_files(out)) == 5
    run_scenes([pair], Difference(), out, SMALL)
    assert same_results(whole, out)


def test_a_killed_run_goes_on_where_it_was(repo, pair, whole, tmp_path):
    out, draw, kills = tmp_path / 'killed', random.Random(0), []
    for wanted in (0, 1, 3, 6):  # blocks that are there when the process is killed, at least
        process = in_process(repo, pair, out, '--pause', 0.03)
        try:
            deadline = time.monotonic() + 60
            while len(list(out.glob('blocks/*.npz'))) < wanted or not out.exists():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.002)
            time.sleep(draw.uniform(0, 0.05))
            before = block_files(out)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        after = block_files(out)
        assert process.returncode == -signal.SIGKILL and before.items() <= after.items()
        kills.append(len(after))
    assert kills[0] < 9 and kills == sorted(kills)
    done = run_scenes([pair], Difference(), out, SMALL)
    assert (done.found, done.blocks) == (kills[-1], 9 - kills[-1])
    assert same_results(whole, out)


def test_windows_without_data_never_meet_the_model(tmp_path):
    dates = [np.zeros_like(date) for date in pictures()]
    predictor = Difference()
    done = run_scenes([write_pair(tmp_path / 'data', dates=dates, nodata=0)], predictor,
                      tmp_path / 'out', replace(SMALL, force=True))
    assert predictor.seen == [] and done.windows == 0 and done.megapixels == 0
    with rasterio.open(tmp_path / 'out/change.tif') as file:
        assert (file.read() == NODATA).all()


def test_a_damaged_tile_is_masked_counted_and_listed(pair, whole, tmp_path):
    damage(pair.img_to, 1, 2)
    done = run_scenes([pair], Difference(), tmp_path / 'out', SMALL)
    gaps = done.summaries['town']['gaps']
    assert done.gaps == len(gaps) > 0
    covered = np.zeros((300, 420), int)
    for left, top, right, bottom in (gap['box'] for gap in gaps):
        covered[top:bottom, left:right] += 1
    assert (covered[64:128, 128:192] == 1).all() and covered.sum() == 64 * 64
    with rasterio.open(tmp_path / 'out/change.tif') as file:
        pixels = file.read(1)
    with rasterio.open(whole / 'change.tif') as file:
        expected = file.read(1)
    expected[64:128, 128:192] = NODATA
    assert np.array_equal(pixels, expected)


def test_a_damaged_tile_does_not_stop_percentiles(pair, tmp_path):
    damage(pair.img_to, 2, 3)
    done = run_scenes([pair], Difference(), tmp_path / 'out', replace(SMALL, scale='percentile'))
    assert done.gaps > 0


def test_a_mosaic_equals_the_image_it_was_cut_from(pair, whole, tmp_path):
    _, later = pictures()
    tiles = []
    for row, column in ((0, 0), (0, 200), (150, 0), (150, 200)):
        part = later[row:row + 150, column:200 if column == 0 else 420]
        tiles.append(write_tiff(tmp_path / f'tile_{row}_{column}.tif', part,
                                left=5e5 + column / 2, top=5e6 - row / 2))
    scene = ScenePair('town', pair.img_from, tuple(tiles))
    run_scenes([scene], Difference(), tmp_path / 'out', SMALL)
    assert [np.load(tmp_path / 'out/blocks' / name)['classes'].tobytes()
            for name in block_files(whole)] == [
        np.load(whole / 'blocks' / name)['classes'].tobytes() for name in block_files(whole)]


def test_single_images_are_put_into_words(tmp_path):
    path = write_tiff(tmp_path / 'town.tif', pictures()[1])
    predictor = Difference(heads=('caption_head',), task='single')
    run_scenes([ScenePair('town', path)], predictor, tmp_path / 'out', SMALL)
    table = geopandas.read_file(tmp_path / 'out/changes.gpkg', layer='sentences')
    assert len(table) == 54 and not table['flag'].any()
    assert not (tmp_path / 'out/change.tif').exists()


def test_dates_that_do_not_suit_the_model_are_refused(pair, tmp_path):
    with pytest.raises(ValueError, match="'town': this model reads single images; two dates"):
        run_scenes([pair], Difference(task='single', heads=('caption_head',)), tmp_path)
    with pytest.raises(ValueError, match='this model reads pairs; the later date is missing'):
        run_scenes([ScenePair('town', pair.img_from)], Difference(), tmp_path)


def test_captions_alone_give_sentences_and_no_map(pair, tmp_path):
    said = []
    run_scenes([pair], Difference(heads=('caption_head',)), tmp_path / 'out', SMALL,
               say=said.append)
    table = geopandas.read_file(tmp_path / 'out/changes.gpkg', layer='sentences')
    assert len(table) == 54 and set(table['flag']) == {True, False}
    assert not (tmp_path / 'out/change.tif').exists()
    assert [line for line in said if 'the model has no change head' in line]


def test_several_scenes_get_a_folder_each(tmp_path):
    pairs = [write_pair(tmp_path / 'data', name, pictures(120, 200 + 50 * seed, seed))
             for seed, name in enumerate(('north', 'south'))]
    done = run_scenes(pairs, Difference(), tmp_path / 'out', SMALL)
    assert set(done.summaries) == {'north', 'south'}
    for pair in pairs:
        alone = tmp_path / f'alone_{pair.name}'
        run_scenes([pair], Difference(), alone, SMALL)
        assert (alone / 'change.tif').read_bytes() == (
            tmp_path / 'out' / pair.name / 'change.tif').read_bytes()
    table = geopandas.read_parquet(tmp_path / 'out/blocks.parquet')
    assert set(table.scene) == {'north', 'south'} and len(table) == done.blocks


@pytest.mark.parametrize('scale', [(5, 5), (9, 3), 'percentiles'])
def test_scales_that_show_nothing_are_refused(scale):
    with pytest.raises(ValueError, match=r"scale=.*(low < high|Did you mean 'percentile')"):
        SceneOptions(scale=scale)


def test_scenes_of_one_name_are_refused(pair, tmp_path):
    with pytest.raises(ValueError, match=r"several scenes are called \['town'\]"):
        run_scenes([pair, pair], Difference(), tmp_path)


@pytest.mark.skipif(not Path('/proc/self/fd').is_dir(), reason='counts the files in /proc')
def test_a_long_list_of_scenes_does_not_hold_its_files_open(pair, tmp_path):
    files = [os.path.realpath(pair.img_from), os.path.realpath(pair.img_to)]

    def opened():
        return [link for link in Path('/proc/self/fd').iterdir()
                if os.path.realpath(link) in files]

    scenes = [replace(pair, name=f'town_{number}') for number in range(6)]
    run = SceneRun(scenes, Difference(), tmp_path / 'out', SceneOptions())
    assert opened() == []
    run.answer(run.folder())
    assert opened() == []


def test_a_reopened_scene_reads_the_same_pixels(tmp_path):
    earlier, later = pictures()
    pair = ScenePair('town', write_tiff(tmp_path / 'a.tif', earlier.astype(np.uint16) * 37),
                     write_tiff(tmp_path / 'b.tif', later[20:].astype(np.uint16) * 51, top=4999990))
    options = replace(SMALL, scale='percentile', match_histogram=True)
    run = SceneRun([pair], Difference(), tmp_path / 'out', options)
    scene = run.scenes['town']
    again = scene.recipe(run.facts, options).open()
    for one, other in zip(scene.reader.read((10, 5, 300, 280)), again.read((10, 5, 300, 280)),
                          strict=True):
        assert np.array_equal(one, other)
    assert again.grid == scene.reader.grid


def test_the_next_block_is_let_go_when_the_run_ends_early(pair, tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(run_module.Bands, 'close', lambda self: closed.append(self))

    def refuse(self, answer):
        raise OSError(errno.EDQUOT, 'quota exceeded')

    monkeypatch.setattr(BlockFolder, 'write', refuse)
    with pytest.raises(OSError, match='quota exceeded'):
        run_scenes([pair], Difference(), tmp_path, SMALL)
    assert len(closed) == 1


def test_a_scene_of_a_list_that_cannot_be_read_is_left_out_and_named(pair, tmp_path):
    said = []
    bad = replace(pair, name='gone', img_to=str(tmp_path / 'nowhere.tif'))
    run = SceneRun([bad, pair], Difference(), tmp_path / 'out', SMALL, said.append)
    assert list(run.scenes) == ['town'] and 'nowhere.tif' in run.left_out['gone']
    assert any(text.startswith('gone: left out: no image at') for text in said)
    run.combine(run.folder(), run.answer(run.folder()))
    assert (tmp_path / 'out/town/change.tif').is_file()
    with pytest.raises(ValueError, match='none of 1 scenes can be answered; first, gone'):
        SceneRun([bad], Difference(), tmp_path / 'out', SMALL, listed=True)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        SceneRun([bad], Difference(), tmp_path / 'out', SMALL)
