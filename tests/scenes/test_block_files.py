import errno
import json
import os
import subprocess
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from rscc.scenes import block_files
from rscc.scenes.block_files import BlockFolder, OtherRun
from rscc.scenes.contracts import Block, BlockAnswer, Gap, WindowSentence

BLOCK = Block('town', 3, (256, 0, 556, 200), (192, 0, 600, 264), 0.25)
RECORD = dict(weights='abc', window=(256, 256), scenes={'town': {'scale': None}})


def answer_of(block=BLOCK, seed=0):
    random = np.random.default_rng(seed)
    return BlockAnswer(
        block, random.integers(0, 2, block.shape, np.uint8),
        random.integers(0, 256, block.shape, np.uint8), nodata_pixels=7, windows=9,
        sentences=[WindowSentence((256, 0, 512, 256), '一栋房屋建成', -0.25, True, 0.75, 0.125),
                   WindowSentence((448, 0, 600, 256), 'no change', -0.5, False, sampled=True)],
        gaps=[Gap((300, 0, 310, 5), 'damaged')])


@pytest.fixture
def folder(tmp_path):
    return BlockFolder(tmp_path / 'blocks', RECORD)


def test_an_answer_comes_back_as_it_was(folder):
    answer = answer_of()
    folder.write(answer)
    back = folder.read(BLOCK)
    assert np.array_equal(back.classes, answer.classes)
    assert np.array_equal(back.probability, answer.probability)
    assert back.sentences == answer.sentences and back.gaps == answer.gaps
    assert (back.nodata_pixels, back.windows, back.block) == (7, 9, BLOCK)


def test_an_answer_without_maps_comes_back(folder):
    folder.write(replace(answer_of(), classes=None, probability=None))
    back = folder.read(BLOCK)
    assert back.classes is None and back.probability is None and len(back.sentences) == 2


def test_equal_answers_are_equal_files(folder):
    first = folder.write(answer_of()).read_bytes()
    assert folder.write(answer_of()).read_bytes() == first
    assert folder.write(answer_of(seed=1)).read_bytes() != first


@pytest.mark.parametrize('damage', [
    lambda data: b'', lambda data: data[:200], lambda data: data[:-30],
    lambda data: data[:150] + bytes(20) + data[170:], lambda data: b'a text file',
    lambda data: data[:len(data) // 2] + b'\xff' * 50 + data[len(data) // 2 + 50:]])
def test_a_damaged_block_is_named(folder, damage):
    path = folder.write(answer_of())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"town_0000000_0000256\.npz' is damaged .*Delete it"):
        folder.read(BLOCK)


def test_a_block_of_other_facts_is_named(folder):
    path = folder.path(BLOCK)
    with zipfile.ZipFile(path, 'w') as archive, archive.open('facts.npy', 'w') as file:
        np.lib.format.write_array(file, np.frombuffer(b'{"windows": 1}', np.uint8))
    with pytest.raises(ValueError, match='is damaged'):
        folder.read(BLOCK)


def test_a_missing_block_is_no_damage(folder):
    with pytest.raises(FileNotFoundError, match='town_0000000_0000256'):
        folder.read(BLOCK)


def test_missing_blocks_are_named(folder):
    blocks = [Block('town', place, (100 * place, 0, 100 * place + 100, 100),
                    (100 * place, 0, 100 * place + 100, 100)) for place in range(14)]
    folder.write(answer_of(blocks[1]))
    assert folder.missing(blocks[:2]) == blocks[:1]
    with pytest.raises(FileNotFoundError) as caught:
        folder.check_complete(blocks)
    text = str(caught.value)
    assert '13 of 14 blocks are missing' in text and 'town_0000000_0000000, town_0000000' in text
    assert 'town_0000000_0000100' not in text and 'and 3 more' in text and '--part i/n' in text
    folder.check_complete(blocks[1:2])


def test_the_blocks_of_another_run_are_refused(folder):
    folder.write(answer_of())
    other = RECORD | dict(weights='xyz', window=(512, 512))
    with pytest.raises(OtherRun, match=r'differs in weights, window \(weights: "abc" there, "xyz" '
                                       r'now\).*--overwrite'):
        BlockFolder(folder.folder, other)
    assert not BlockFolder(folder.folder, RECORD).new and not folder.missing([BLOCK])


def test_overwriting_deletes_the_blocks_of_another_run_only(folder):
    folder.write(answer_of())
    assert not BlockFolder(folder.folder, RECORD, overwrite=True).missing([BLOCK])
    new = BlockFolder(folder.folder, RECORD | dict(weights='xyz'), overwrite=True)
    assert new.new and new.missing([BLOCK])
    assert json.loads((folder.folder / 'run.json').read_text())['weights'] == 'xyz'


def test_overwriting_goes_on_where_another_part_has_overwritten(folder, monkeypatch):
    folder.write(answer_of())
    stored = block_files.stored_record

    def overtaken(path):
        found = stored(path)
        for path in folder.folder.iterdir():
            path.unlink()
        return found

    monkeypatch.setattr(block_files, 'stored_record', overtaken)
    assert BlockFolder(folder.folder, {'weights': 'xyz'}, overwrite=True).new


def test_a_full_disk_leaves_the_earlier_block(folder, monkeypatch):
    before = folder.write(answer_of()).read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(block_files.np.lib.format, 'write_array', full)
    with pytest.raises(OSError, match=r'No space left.*town_0000000_0000256\.npz'):
        folder.write(answer_of(seed=1))
    assert [path.name for path in sorted(folder.folder.iterdir())] == [
        'run.json', 'town_0000000_0000256.npz']
    assert folder.path(BLOCK).read_bytes() == before


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='mounting needs root')
def test_a_disk_that_is_really_full_leaves_what_was_written(tmp_path):
    disk = tmp_path / 'disk'
    disk.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', str(disk)],
                      capture_output=True).returncode:
        pytest.skip('a small disk cannot be mounted here')
    try:
        folder = BlockFolder(disk / 'blocks', RECORD)
        first = folder.write(answer_of()).read_bytes()
        later = replace(BLOCK, number=4, box=(556, 0, 1556, 400))
        with pytest.raises(OSError, match=r'No space left.*town_0000000_0000556\.npz'):
            for seed in range(1, 9):
                folder.write(answer_of(later, seed))
        assert folder.path(BLOCK).read_bytes() == first and folder.missing([later])
        assert not [path for path in folder.folder.iterdir() if path.suffix == '.tmp']
    finally:
        subprocess.run(['umount', str(disk)], check=True)


def test_a_cut_block_counts_as_missing_and_a_broken_record_can_be_overwritten(folder):
    answer = answer_of()
    path = folder.write(answer)
    assert folder.missing([answer.block]) == []
    path.write_bytes(path.read_bytes()[:-30])
    assert folder.missing([answer.block]) == [answer.block]
    (folder.folder / 'run.json').write_text('{"weights"')
    with pytest.raises(ValueError, match='--overwrite deletes the blocks'):
        BlockFolder(folder.folder, folder.record)
    assert BlockFolder(folder.folder, folder.record, overwrite=True).new and not path.exists()
