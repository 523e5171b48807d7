"""Path lists as people make them."""
import functools
import subprocess
import sys

import pytest


@pytest.fixture
def write_path(run_tool):
    return functools.partial(run_tool, 'general/write_path.py')


@pytest.fixture
def scenes(tmp_path):
    for split in ('train', 'test'):
        for folder in ('A', 'B', 'label'):
            (tmp_path / 'cd' / split / folder).mkdir(parents=True)
            for name in ('1.png', '2.png'):
                (tmp_path / 'cd' / split / folder / name).write_bytes(b'')
    return tmp_path / 'cd'


def test_one_list_a_split_with_two_blanks_between_absolute_paths(write_path, scenes):
    done = write_path(scenes)
    assert done.returncode == 0, done.stderr
    lines = (scenes / 'train.txt').read_text().splitlines()
    root = scenes.resolve()
    assert lines[0] == f'{root}/train/A/1.png  {root}/train/B/1.png  {root}/train/label/1.png'
    assert len(lines) == 2 and (scenes / 'test.txt').is_file()
    assert not (scenes / 'val.txt').exists()


def test_mismatches_are_counted_and_stop_the_tool_before_it_writes(write_path, scenes):
    (scenes / 'test/B/2.png').unlink()
    done = write_path(scenes)
    assert done.returncode == 1 and not list(scenes.glob('*.txt'))
    assert 'test: 2 files without a partner, first: A/2.png, label/2.png' in done.stderr
    done = write_path(scenes, '--skip-unmatched', '--relative')
    assert done.returncode == 0
    assert (scenes / 'test.txt').read_text() == 'test/A/1.png  test/B/1.png  test/label/1.png\n'


def test_real_samples_without_splits(write_path, samples, tmp_path):
    root = samples / 'levir_cd_samples'
    if not root.is_dir():
        pytest.skip(f"no real samples at '{root}'")
    done = write_path(root, '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / 'all.txt').read_text().splitlines()
    assert len(lines) == 8 and all(len(line.split('  ')) == 3 for line in lines)


def test_a_missing_label_folder_suggests_none(write_path, scenes):
    done = write_path(scenes, '--label', 'OUT')
    assert done.returncode == 1 and '(none for no labels)' in done.stderr
    done = write_path(scenes, '--label', 'none')
    assert done.returncode == 0
    assert len((scenes / 'train.txt').read_text().splitlines()[0].split('  ')) == 2


def test_an_unwritable_folder_is_one_line(repo, scenes, tmp_path):
    (tmp_path / 'out').write_text('a file')
    done = subprocess.run([sys.executable, str(repo / 'tools/general/write_path.py'), str(scenes),
                           '--out', str(tmp_path / 'out')], capture_output=True, text=True)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'argument --out: ' in done.stderr and 'is a file; a folder was expected' in done.stderr


def test_a_validation_list_is_made_of_a_part_of_train(write_path, scenes):
    done = write_path(scenes, '--hold-out', '0.5', '--relative')
    assert done.returncode == 0, done.stderr
    sizes = {path.stem: len(path.read_text().splitlines()) for path in scenes.glob('*.txt')}
    assert sizes == {'train': 1, 'val': 1, 'test': 2}
    done = write_path(scenes, '--splits', 'test', '--hold-out', '0.5')
    assert done.returncode == 1
    assert "--hold-out makes val of a part of train, found ['test']" in done.stderr
