"""Training data of a scene as people make it, and the command that it prints to train on them."""
import functools
import shlex

import pytest

pytest.importorskip('rasterio')
pytest.importorskip('geopandas')

from rendered_scenes import render_scene


@pytest.fixture
def tool(run_tool):
    return functools.partial(run_tool, 'dataset_converters/scene_pairs.py')


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    return render_scene(tmp_path_factory.mktemp('scene'))


@pytest.fixture
def given(scene):
    return ('--from', scene.before, '--to', scene.after, '--polygons', scene.polygons,
            '--size', 32, '--jobs', 2)


def printed(done):
    """Return the training command of the output, as arguments of tools/train.py."""
    line = next(line for line in done.stdout.splitlines() if line.startswith('python tools/train'))
    return shlex.split(line)[2:]


def test_the_printed_command_trains_a_change_detector(tool, run_tool, given, tmp_path):
    done = tool(*given, '--class-column', 'kind', '--classes', 'building', 'road', '--out',
                tmp_path / 'my town')
    assert done.returncode == 0, done.stderr
    assert '8 x 10 tiles of 32 pixels at 0.5 m a pixel' in done.stdout
    assert 'too near to another split' in done.stdout and 'of other classes' in done.stdout
    arguments = printed(done)
    assert 'model.change_head.num_classes=3' in arguments
    small = [f'{split}_dataloader.{option}' for split in ('train', 'val', 'test')
             for option in ('num_workers=0', 'persistent_workers=False', 'batch_size=2')]
    done = run_tool('train.py', *arguments, *small, 'train_cfg.max_iters=2',
                    'train_cfg.val_interval=2', '--work-dir', tmp_path / 'work')
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'change/IoU_road' in done.stdout + done.stderr
    assert list((tmp_path / 'work').glob('iter_2.pth'))


def test_the_printed_command_trains_a_captioner(tool, run_tool, given, scene, tmp_path):
    table = scene.table[scene.table.area > 20]
    (tmp_path / 'c.csv').write_text('geometry,language,sentence\n' + '\n'.join(
        f'"{shape.wkt}",{language},{text}' for shape in table.geometry
        for language, text in (('en', 'something has changed'), ('zh', '这里有变化'))))
    done = tool(*given, '--captions', tmp_path / 'c.csv', '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    assert 'unchanged tiles with stock sentences' in done.stdout
    assert 'configs/blip_synth_zh.py' in done.stdout
    done = run_tool('train.py', *printed(done), '--work-dir', tmp_path / 'work', '--check')
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.rstrip().endswith('ok')


def test_more_bands_point_to_their_page(tool, given, tmp_path):
    done = tool(*given, '--bands', 1, 2, '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    assert '# images of 2 bands: write a config as in docs/en/datasets.md' in done.stdout
    done = tool(*given, '--splits', 0.8, 0.2, 0, '--out', tmp_path / 'two')
    assert 'test is missing here' in done.stdout


def test_wrong_calls_end_with_one_line(tool, given, tmp_path):
    for arguments, words in (
            (given[:4], 'give --polygons FILE'),
            ((*given, '--polygons-from', 'x.gpkg'), 'give --polygons FILE'),
            ((*given, '--classes', 'a'), '--classes names values of a column'),
            ((*given, '--class-column', 'knid'), "Did you mean 'kind'"),
            ((*given, '--splits', 0.5, 0.5, 0.5), 'shares of train, val and test'),
            ((*given, '--jobs', 0), '--jobs 0'),
            ((*given, '--scale', 5), 'expected two numbers')):
        done = tool(*arguments, '--out', tmp_path / 'out')
        assert done.returncode and 'Traceback' not in done.stderr
        assert words in done.stderr, done.stderr


def test_an_interruption_says_how_to_go_on(tool, given, tmp_path, monkeypatch):
    from rscc.scenes import pair_dataset

    def stop(*at):
        raise KeyboardInterrupt
    monkeypatch.setattr(pair_dataset, '_write_tiles', stop)
    done = tool(*given, '--out', tmp_path / 'out')
    assert done.returncode and 'the same command goes on where it stopped' in done.stderr
