import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fake_scenes import SMALL, Difference, block_files, damage, pictures, write_tiff

from rscc.scenes import ray_engine
from rscc.scenes.blocks import share
from rscc.scenes.preparation import ScenePair
from rscc.scenes.ray_engine import BlockAnswerer, answer_with_ray, read_block, shares, work_of
from rscc.scenes.run import SceneRun, run_scenes

pytest.importorskip('rasterio')
pytest.importorskip('geopandas')


@pytest.fixture(scope='module')
def local_ray(repo):
    """Ray of two processes on this machine, with little memory."""
    ray = pytest.importorskip('ray')
    pytest.importorskip('ray.data')
    # A short path: Ray's sockets lie below it, and their names may have a hundred letters.
    folder, before = tempfile.mkdtemp(prefix='ray'), dict(os.environ)
    os.environ |= {'RAY_USAGE_STATS_ENABLED': '0', 'RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO': '0',
                   'RAY_AUTH_TOKEN': secrets.token_hex(32),  # else it writes one to the home folder
                   'PYTHONPATH': os.pathsep.join((str(repo), str(repo / 'tests')))}
    try:
        ray.init(address='local', num_cpus=2, num_gpus=0, object_store_memory=150 * 2**20,
                 include_dashboard=False, log_to_driver=False, _temp_dir=folder,
                 object_spilling_directory=str(Path(folder, 'spilled')))
        yield ray
    finally:
        ray.shutdown()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def on_ray(run, **settings):
    make = settings.pop('make', None) or partial(Difference, **settings)
    return answer_with_ray(run, run.folder(), make, workers=2)


def test_ray_gives_the_files_of_the_local_engine(local_ray, tmp_path, monkeypatch):
    """Of dates that are warped, stretched and matched, by paths that count from this folder."""
    monkeypatch.chdir(tmp_path)
    earlier, later = pictures()
    pair = ScenePair('town', write_tiff('a.tif', earlier.astype(np.uint16) * 37),
                     write_tiff('b.tif', later[20:].astype(np.uint16) * 51, top=4999990))
    options = replace(SMALL, scale='percentile', match_histogram=True, force=True)
    run_scenes([pair], Difference(), 'local', options)
    run = SceneRun([pair], Difference(), 'ray', options)
    folder = run.folder()
    done = answer_with_ray(run, folder, Difference, (2, 2))
    assert (done.blocks, done.found, done.gaps) == (4, 0, 0) and done.windows > 0 < done.rate
    assert done.megapixels == pytest.approx(sum(
        folder.read(block).data_pixels for block in share(run.blocks, 2, 2)) / 1e6)
    assert len(block_files('ray')) == 4
    assert block_files('ray').items() <= block_files('local').items()
    assert run.answer(folder).found == 4, 'engines share a folder'
    assert answer_with_ray(run, folder, Difference).found == 9, 'nothing is left to do'
    run.combine(folder)
    for name in ('change.tif', 'changes.geojson'):
        assert Path('ray', name).read_bytes() == Path('local', name).read_bytes()


def test_the_blocks_of_a_killed_worker_are_done_again(local_ray, pair, whole, tmp_path):
    marks, out, killed = tmp_path / 'marks', tmp_path / 'ray', []
    marks.mkdir()

    def kill():
        """Kill the worker that is at work, once both are and a block is there."""
        while not ending.wait(0.01):
            seen = sorted(marks.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            if len({path.name.split('_')[0] for path in seen}) == 2 and block_files(out):
                killed.append(int(seen[-1].name.split('_')[0]))
                os.kill(killed[0], signal.SIGKILL)
                return

    ending = threading.Event()
    watch = threading.Thread(target=kill)
    watch.start()
    try:
        run = SceneRun([pair], Difference(), out, SMALL)
        done = on_ray(run, pause=0.2, marks=str(marks))
    finally:
        ending.set()
        watch.join()
    assert killed and done.blocks == 9 and block_files(out) == block_files(whole)


class Failing(Difference):
    """A model that cannot answer."""

    def predict(self, windows, describe):
        raise RuntimeError('out of memory')


# The last one that starts tasks: Ray breaks off those that run, in the middle of an import even.
def test_what_a_worker_raises_reaches_the_driver_in_a_line(local_ray, pair, tmp_path):
    run = SceneRun([pair], Difference(), tmp_path / 'ray', SMALL)
    local_ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        with pytest.raises(OSError, match=r'^--engine ray: .*out of memory\. Blocks that are done'):
            on_ray(run, make=Failing)
    finally:
        local_ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_a_row_with_an_error_ends_the_run(local_ray, pair, tmp_path, monkeypatch):
    run = SceneRun([pair], Difference(), tmp_path / 'ray', SMALL)
    work = work_of(run, run.folder())

    class Rows:
        def iter_rows(self):
            shutil.rmtree(tmp_path / 'data')
            batch = read_block(next(batches(run, work)), work)
            row = BlockAnswerer(work, Difference)(batch)
            yield {name: value[0] for name, value in row.items()}

    monkeypatch.setattr(ray_engine, '_answers', lambda *_args: Rows())
    with pytest.raises(OSError, match=r"block 'town_0000000_0000000': .*town_from\.tif"):
        on_ray(run)
    assert not block_files(tmp_path / 'ray')


def test_workers_with_other_weights_are_refused(pair, tmp_path):
    run = SceneRun([pair], Difference(), tmp_path / 'ray', SMALL)
    with pytest.raises(ValueError, match=r"this worker have the hash 'b'.*driver 'a'.*same file"):
        BlockAnswerer(work_of(run, run.folder()), partial(Difference, weights_hash='b'))


def batches(run, work):
    """Rows of blocks as Ray Data hands them to a reader."""
    for block in run.blocks:
        row = ray_engine._row(block)
        yield {name: np.array([value]) for name, value in row.items()}


def test_reading_and_answering_apart_give_the_same_files(pair, whole, tmp_path):
    run = SceneRun([pair], Difference(), tmp_path / 'out', SMALL)
    work = work_of(run, run.folder())
    answerer = BlockAnswerer(work, Difference)
    rows = [answerer(read_block(batch, work)) for batch in batches(run, work)]
    assert block_files(tmp_path / 'out') == block_files(whole)
    assert [row['block_id'][0] for row in rows] == [block.id for block in run.blocks]
    assert sum(row['pixels'][0] for row in rows) == 300 * 420
    assert not any(row['error'][0] for row in rows)


def test_workers_enlarge_their_windows_as_the_driver_did(pair, tmp_path):
    predictor = Difference().enlarged(2)
    run_scenes([pair], predictor, tmp_path / 'local', SMALL)
    run = SceneRun([pair], predictor, tmp_path / 'out', SMALL)
    work = work_of(run, run.folder())
    answerer = BlockAnswerer(work, Difference)
    assert answerer._predictor.facts == predictor.facts
    for batch in batches(run, work):
        answerer(read_block(batch, work))
    assert block_files(tmp_path / 'out') == block_files(tmp_path / 'local')


def test_a_reader_leaves_no_file_open_behind_a_block(pair, tmp_path):
    run = SceneRun([pair], Difference(), tmp_path / 'out', SMALL)
    work = work_of(run, run.folder())
    for batch in batches(run, work):
        assert not read_block(batch, work)['error'][0]
        assert not any(date._handles for date in work.reader('town').dates)


def test_gaps_pass_from_reader_to_answer(pair, tmp_path):
    damage(pair.img_to, 1, 2)
    run_scenes([pair], Difference(), tmp_path / 'local', SMALL)
    run = SceneRun([pair], Difference(), tmp_path / 'out', SMALL)
    work = work_of(run, run.folder())
    rows = [BlockAnswerer(work, Difference)(read_block(batch, work))
            for batch in batches(run, work)]
    assert block_files(tmp_path / 'out') == block_files(tmp_path / 'local')
    assert sum(row['gaps'][0] for row in rows) > 0


def test_a_full_disk_is_told_by_the_row(pair, tmp_path, monkeypatch):
    run = SceneRun([pair], Difference(), tmp_path / 'out', SMALL)
    work = work_of(run, run.folder())

    def full(self, answer):
        raise OSError(28, 'No space left on device', 'blocks/town.npz')

    monkeypatch.setattr(type(work.folder), 'write', full)
    row = BlockAnswerer(work, Difference)(read_block(next(batches(run, work)), work))
    assert 'No space left on device' in row['error'][0]


def test_few_scenes_stay_open(pair, tmp_path):
    scenes = [replace(pair, name=f'town_{number}') for number in range(7)]
    run = SceneRun(scenes, Difference(), tmp_path / 'out', SMALL)
    work = work_of(run, run.folder())
    for scene in scenes:
        assert work.reader(scene.name) is work.reader(scene.name)
    assert len(ray_engine._OPEN) <= 4


@pytest.mark.parametrize(('resources', 'workers', 'expected'), [
    ({'CPU': 2.0}, 2, (0.75, 0)), ({'CPU': 2.0}, 1, (1, 0)), ({'CPU': 16.0}, 4, (3, 0)),
    ({'CPU': 1.0}, 1, (0.5, 0)), ({'CPU': 2.0}, 8, (0.18, 0)), ({}, 2, (0.01, 0)),
    ({'CPU': 16.0, 'GPU': 4.0}, 4, (3, 1)), ({'CPU': 16.0, 'GPU': 1.0}, 2, (7, 0.5)),
    ({'CPU': 64.0, 'GPU': 8.0}, 4, (15, 1)), ({'CPU': 8.0, 'GPU': 1.0}, 3, (2, 0.33))])
def test_workers_share_cores_and_gpus_and_leave_some_for_reading(resources, workers, expected):
    cpus, gpus = shares(resources, workers)
    assert (cpus, gpus) == expected
    assert cpus < 1 or cpus == int(cpus), 'Ray refuses broken numbers above 1'
    assert workers * cpus < resources.get('CPU', 1)


def test_without_ray_the_extra_is_named(pair, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    run = SceneRun([pair], Difference(), tmp_path / 'out', SMALL)
    with pytest.raises(ImportError, match=r'--engine ray needs .ray.: pip install "rscc\[ray\]"'):
        answer_with_ray(run, run.folder(), Difference)


def test_the_engine_loads_neither_torch_nor_ray(repo):
    code = ('import sys, rscc.scenes.ray_engine; '
            "print([name for name in ('torch', 'mmengine', 'ray') if name in sys.modules])")
    done = subprocess.run([sys.executable, '-c', code], cwd=repo, capture_output=True, text=True,
                          env=os.environ | {'PYTHONPATH': str(repo)}, check=True)
    assert done.stdout.strip() == '[]'
