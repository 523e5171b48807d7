import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from fake_scenes import Difference, pictures

from rscc.rasters.blending import RowBlender, decided
from rscc.rasters.windows import window_grid
from rscc.scenes.blocks import plan_blocks
from rscc.scenes.contracts import NODATA, Block, SceneGrid
from rscc.scenes.model_pass import BlockPass, PassOptions, cut
from rscc.scenes.reading import Bands


class Arrays:
    """Reader of frames in memory, as the bands use it; what touches ``damaged`` cannot be read."""

    def __init__(self, frames, valid=None, block=(64, 64), damaged=None):
        self.dates, self.block, self.damaged = frames, block, damaged
        self.channels = frames[0].shape[2]
        height, width = frames[0].shape[:2]
        self.grid = SceneGrid(width, height)
        self.valid = np.ones((height, width), bool) if valid is None else valid

    def read(self, box, shape=None):
        left, top, right, bottom = box
        if self.damaged and (left < self.damaged[2] and self.damaged[0] < right
                             and top < self.damaged[3] and self.damaged[1] < bottom):
            raise OSError('a tile is damaged')
        part = np.s_[top:bottom, left:right]
        return [frame[part] for frame in self.dates], self.valid[part]


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


def divided(reader, predictor, pixels):
    grid, facts = reader.grid, predictor.facts
    lattice = window_grid(grid.height, grid.width, facts.window, facts.overlap)
    return lattice, plan_blocks('s', grid, lattice, np.ones((1, 1), bool), reader.block, pixels)


def answered(reader, predictor, pool, pixels=128**2, **options):
    lattice, blocks = divided(reader, predictor, pixels)
    passing = PassOptions(**dict(sample_every=0, probability=True) | options)
    return [BlockPass(block, lattice, Bands(reader, block.halo, pool), predictor, passing).run()
            for block in blocks]


def put_together(reader, answers):
    maps = np.zeros((2, reader.grid.height, reader.grid.width), np.uint8)
    for answer in answers:
        left, top, right, bottom = answer.block.box
        maps[:, top:bottom, left:right] = answer.classes, answer.probability
    sentences = [row for answer in answers for row in answer.sentences]
    return maps, sorted(sentences, key=lambda row: (row.box[1], row.box[0]))


def whole(frames, predictor):
    """The window loop over the whole image in memory."""
    height, width = frames[0].shape[:2]
    grid = window_grid(height, width, predictor.facts.window, predictor.facts.overlap)
    if grid is None:
        values = predictor.predict([frames], ['never'])[0].probabilities
    else:
        blender, values = RowBlender(grid, blend='linear'), np.zeros((height, width), np.float32)
        for column, row in grid.places():
            place = np.ix_(grid.rows.source(row), grid.columns.source(column))
            window = [frame[place] for frame in frames]
            band = blender.add(predictor.predict([window], ['never'])[0].probabilities)
            if band is not None:
                values[band[0]:band[0] + len(band[1])] = band[1]
    return np.stack([decided(values), np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)])


SIZES = [(300, 420), (301, 419), (65, 500), (500, 64), (64, 64), (40, 50), (40, 300), (129, 128)]


@pytest.mark.parametrize('overlap', [0, 16, 40])
@pytest.mark.parametrize('size', SIZES)
def test_blocks_equal_the_whole_image_in_memory(size, overlap, pool):
    frames, predictor = list(pictures(*size)), Difference(overlap=overlap)
    reader = Arrays(frames)
    expected = whole(frames, predictor)
    assert expected[0].any() and not expected[0].all()
    for pixels in (70**2, 150**2, 10**9):
        maps, _ = put_together(reader, answered(reader, predictor, pool, pixels))
        assert np.array_equal(maps, expected), f'blocks of {pixels} pixels differ from the whole'


@pytest.mark.parametrize('stored', [(1, 420), (7, 420), (64, 64), (512, 512), (300, 420),
                                    (4000, 4000)])
def test_what_the_file_stores_together_does_not_matter(stored, pool):
    frames, predictor = list(pictures()), Difference()
    reader = Arrays(frames, block=stored)
    maps, _ = put_together(reader, answered(reader, predictor, pool))
    assert np.array_equal(maps, whole(frames, predictor))


def test_the_probability_of_unchanged_pixels_is_kept_where_it_is_asked_for(pool):
    frames, predictor = list(pictures()), Difference()
    reader, (classes, probability) = Arrays(frames), whole(frames, predictor)
    maps, _ = put_together(reader, answered(reader, predictor, pool, probability=False))
    assert np.array_equal(maps, [classes, np.where(classes, probability, 0)])
    assert (probability[classes == 0] > 0).any()


def test_sentences_do_not_depend_on_the_blocks(pool):
    reader = Arrays(list(pictures()))
    said = [put_together(reader, answered(reader, Difference(), pool, pixels, sample_every=5))[1]
            for pixels in (70**2, 150**2, 10**9)]
    assert said[0] == said[1] == said[2]
    boxes = [row.box for row in said[0]]
    assert len(set(boxes)) == len(boxes) > 5


def test_every_so_manieth_window_without_change_is_described_as_a_sample(pool):
    texture = pictures()[0]
    reader = Arrays([texture, texture.copy()])
    rows = put_together(reader, answered(reader, Difference(), pool, sample_every=5))[1]
    # 6 x 9 windows; number 0, 5, 10, ... of them row by row.
    assert len(rows) == 11 and all(row.sampled and not row.flag for row in rows)
    assert {row.sentence for row in rows} == {'the same'}
    assert put_together(reader, answered(reader, Difference(), pool))[1] == []


def test_a_described_window_that_changed_is_no_sample(pool):
    frames = list(pictures())
    rows = put_together(Arrays(frames), answered(Arrays(frames), Difference(), pool,
                                                 sample_every=1))[1]
    assert len(rows) == 54
    assert [row.sampled for row in rows] == [not row.flag for row in rows]
    assert {row.flag for row in rows} == {True, False}
    assert all(row.flag == (row.change_share >= 0.001) for row in rows)


def test_captions_alone_describe_every_window_and_draw_no_map(pool):
    frames, predictor = list(pictures()), Difference(heads=('caption_head',))
    answers = answered(Arrays(frames), predictor, pool)
    assert all(answer.classes is None and answer.probability is None for answer in answers)
    rows = [row for answer in answers for row in answer.sentences]
    assert len(rows) == 54 and not any(row.sampled for row in rows)
    assert {(row.sentence, row.flag) for row in rows} == {('a house is built', True),
                                                          ('the same', False)}
    assert {row.change_share for row in rows} == {None}


def test_maps_alone_say_nothing(pool):
    answers = answered(Arrays(list(pictures())), Difference(heads=('change_head',)), pool,
                       sample_every=1)
    assert not [row for answer in answers for row in answer.sentences]


def test_single_images_are_described_without_a_flag(pool):
    predictor = Difference(heads=('caption_head',), task='single')
    answers = answered(Arrays(list(pictures())[:1]), predictor, pool)
    rows = [row for answer in answers for row in answer.sentences]
    assert len(rows) == 54 and not any(row.flag or row.sampled for row in rows)
    assert {count for count, _ in predictor.seen} == {1}


def test_windows_without_data_cost_nothing(pool):
    frames, valid = list(pictures()), np.zeros((300, 420), bool)
    predictor = Difference()
    answers = answered(Arrays(frames, valid), predictor, pool)
    assert predictor.seen == [] and {answer.windows for answer in answers} == {0}
    assert all((answer.classes == NODATA).all() and not answer.probability.any()
               for answer in answers)
    assert sum(answer.nodata_pixels for answer in answers) == valid.size
    valid[:100, :100] = True
    (answer,) = answered(Arrays(frames, valid), predictor, pool, 10**9)
    # Windows begin at columns -14, 34, 82, ... and rows -2, 46, 94, ...: 3 x 3 of 54 reach it.
    assert len(predictor.seen) == answer.windows == 9
    assert ((answer.classes == NODATA) == ~valid).all()


def test_progress_counts_windows_without_data_too(pool):
    valid = np.zeros((300, 420), bool)
    valid[:100] = True
    reader, predictor, told = Arrays(list(pictures()), valid), Difference(), []
    lattice, (block,) = divided(reader, predictor, 10**9)
    BlockPass(block, lattice, Bands(reader, block.halo, pool), predictor, PassOptions(),
              told.append).run()
    assert sum(told) == 54


def test_pixels_without_data_leave_the_rest_as_it_was(pool):
    frames, valid = list(pictures()), np.ones((300, 420), bool)
    valid[140:155, 200:330] = False
    whole_maps, _ = put_together(Arrays(frames), answered(Arrays(frames), Difference(), pool))
    reader = Arrays(frames, valid)
    maps, _ = put_together(reader, answered(reader, Difference(), pool))
    assert (maps[0][~valid] == NODATA).all() and not maps[1][~valid].any()
    assert np.array_equal(maps[:, valid], whole_maps[:, valid])


def test_windows_that_are_mostly_empty_are_not_described(pool):
    frames, valid = list(pictures()), np.zeros((300, 420), bool)
    valid[:, :80] = True
    reader = Arrays(frames, valid)
    rows = put_together(reader, answered(reader, Difference(), pool, sample_every=1))[1]
    assert {row.box[0] for row in rows} == {0, 34}, 'the window at column 82 is empty'


def test_a_damaged_tile_is_a_gap_of_its_own_pixels(pool):
    frames = list(pictures())
    expected, _ = put_together(Arrays(frames), answered(Arrays(frames), Difference(), pool))
    reader = Arrays(frames, damaged=(130, 70, 131, 71))
    answers = answered(reader, Difference(), pool)
    maps, _ = put_together(reader, answers)
    hole = np.s_[64:128, 128:192]
    assert (maps[0][hole] == NODATA).all() and (maps[0] == NODATA).sum() == 64 * 64
    outside = maps[0] != NODATA
    assert np.array_equal(maps[:, outside], expected[:, outside])
    gaps = [gap for answer in answers for gap in answer.gaps]
    covered = np.zeros((300, 420), int)
    for left, top, right, bottom in (gap.box for gap in gaps):
        covered[top:bottom, left:right] += 1
    assert (covered[hole] == 1).all() and covered.sum() == 64 * 64, 'counted once, and wholly'
    assert {gap.reason for gap in gaps} == {'a tile is damaged'}
    assert sum(answer.nodata_pixels for answer in answers) == 64 * 64


def test_maps_that_are_no_numbers_are_refused(pool):
    predictor = Difference()
    answer = predictor._answer

    def broken(dates, when):
        found = answer(dates, when)
        found.probabilities[3, 5] = np.nan
        return found

    predictor._answer = broken
    with pytest.raises(ValueError, match=r'window \(0, 0, \d+, \d+\) is not a number.*--amp'):
        answered(Arrays(pictures()), predictor, pool)


def test_a_block_of_one_window_is_taken_whole(pool):
    frames = list(pictures(40, 50))
    predictor = Difference(window=None)
    block = Block('s', 0, (0, 0, 50, 40), (0, 0, 50, 40))
    bands = Bands(Arrays(frames), block.halo, pool)
    answer = BlockPass(block, None, bands, predictor, PassOptions()).run()
    assert np.array_equal(answer.classes, whole(frames, predictor)[0])
    assert [row.box for row in answer.sentences] == [block.box] and answer.windows == 1
    empty = Arrays(frames, np.zeros((40, 50), bool))
    answer = BlockPass(block, None, Bands(empty, block.halo, pool), predictor, PassOptions()).run()
    assert (answer.classes == NODATA).all() and answer.windows == 0


@pytest.mark.parametrize('size', [1, 3, 8, 100])
def test_batches_do_not_change_the_answer(size, pool):
    reader = Arrays(list(pictures()))
    expected = put_together(reader, answered(reader, Difference(), pool))
    maps, rows = put_together(reader, answered(reader, Difference(), pool, batch_size=size))
    assert np.array_equal(maps, expected[0]) and rows == expected[1]


class Classes(Difference):
    """Three classes: unchanged, and two that share the left and the right of a window."""

    def __init__(self):
        super().__init__()
        self.facts = replace(self.facts, classes=('unchanged', 'one', 'other'))

    def _answer(self, dates, when):
        answer = super()._answer(dates, when)
        changed = answer.probabilities
        left = (np.linspace(0, 1, changed.shape[1]) < 0.7).astype(np.float32)
        return replace(answer, probabilities=np.stack(
            [1 - changed, changed * left, changed * (1 - left)]))


def test_several_classes_keep_their_numbers(pool):
    valid = np.ones((300, 420), bool)
    valid[:130] = False
    reader = Arrays(list(pictures()), valid)
    maps, _ = put_together(reader, answered(reader, Classes(), pool))
    assert set(np.unique(maps[0])) == {0, 1, 2, NODATA}
    assert ((maps[0] == NODATA) == ~valid).all()
    small = put_together(reader, answered(reader, Classes(), pool, 70**2))[0]
    assert np.array_equal(maps, small)


class Copies(Arrays):
    """Gives pixels of their own, as a file does."""

    def read(self, box, shape=None):
        frames, valid = super().read(box)
        return [frame.copy() for frame in frames], valid.copy()


def test_rows_that_are_passed_are_let_go(pool):
    frames = [np.zeros((9000, 64, 3), np.uint8)] * 2  # 1.7 MB each
    bands = Bands(Copies(frames), (0, 0, 64, 9000), pool)
    tracemalloc.start()
    try:
        for first in range(0, 8900, 48):
            parts, valid = bands.rows(first, first + 64)
            assert parts[0].shape == (64, 64, 3) and valid.shape == (64, 64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Two pieces of 256 rows under the window and two ahead of it, 7 bytes a pixel.
    assert peak < 1.5 * 4 * 256 * 64 * 7, 'rows far above the window are still held'


def test_rows_come_as_they_lie_in_the_file(pool):
    frames = list(pictures(500, 40))
    bands = Bands(Arrays(frames, block=(48, 40)), (10, 20, 35, 480), pool)
    for first, end in ((20, 90), (20, 91), (70, 300), (290, 300), (299, 480)):
        parts, _ = bands.rows(first, end)
        assert all(np.array_equal(part, frame[first:end, 10:35])
                   for part, frame in zip(parts, frames, strict=True))


def test_cutting_gives_a_view_where_it_can():
    pixels = np.arange(60).reshape(6, 10)
    rows, columns = np.array([1, 2, 3]), np.array([4, 5])
    assert cut(pixels, rows, columns).base is not None
    mirrored = np.array([2, 1, 0, 1])
    assert np.array_equal(cut(pixels, mirrored, columns), pixels[np.ix_(mirrored, columns)])
