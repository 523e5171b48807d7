"""Training data of a scene as people make it, and the command that it prints to train on them."""
import functools
import shlex

import pytest

pytest.importorskip('rasterio')
pytest.importorskip('geopandas')

from rendered_scenes import render_scene

from rscc.commands.scene_pairs import fine_tuning


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


def printed(done, config=''):
    """Return a training command of the output, as arguments of tools/train.py."""
    line = next(line for line in done.stdout.splitlines()
                if line.startswith(f'python tools/train.py configs/{config}'))
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


def test_the_printed_command_fine_tunes_the_shipped_model(tool, run_tool, given, tmp_path):
    # Numbered otherwise than the model's classes, and 255 where nobody looked.
    done = tool(*given, '--class-column', 'kind', '--classes', 'vegetation', 'building', '--out',
                tmp_path / 'town')
    assert done.returncode == 0, done.stderr
    arguments = printed(done, 'rscc_small_finetune')
    assert 'train_dataloader.dataset.label_map={0: 254, 1: 3, 2: 1, 255: 255}' in arguments
    assert 'model.change_head.loss_decode.absent={254: [1, 3]}' in arguments
    small = ('train_cfg.max_iters=1', 'train_dataloader.batch_size=2',
             'model.data_preprocessor.train_sizes=None')
    done = run_tool('train.py', *arguments, *small, '--work-dir', tmp_path / 'work')
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tensors from 'rscc-small'" in done.stdout + done.stderr
    # The settings are in the config that the training leaves, and are those of the scores too.
    checkpoint, config = tmp_path / 'work/iter_1.pth', tmp_path / 'work/rscc_small_finetune.py'
    done = run_tool('test.py', config, checkpoint, *arguments[1:3], '--work-dir',
                    tmp_path / 'tested')
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / 'tested/metrics.json').is_file()
    # Without them the config would take what is ignored for buildings.
    done = run_tool('train.py', *arguments[:3], '--work-dir', tmp_path / 'other')
    assert done.returncode and 'takes 1 in the labels of' in done.stderr
    assert "'rscc_classes.json' there says that it is 'vegetation'" in done.stderr


REPORT = dict(classes=['unchanged', 'building'], bands=None, ground_resolution=0.5, tile_size=256,
              splits=dict(train={}))


@pytest.mark.parametrize(('changes', 'expected'), [
    ({}, ['train_dataloader.dataset.label_map={0: 254, 1: 1, 255: 255}',
          'test_dataloader.dataset.label_map={0: 0, 1: 1, 255: 255}']),
    (dict(classes=['unchanged', 'changed'], tile_size=128), [
        'train_dataloader.dataset.label_map={0: 0, 1: 253, 255: 255}',
        'test_dataloader.dataset.label_map={0: 0, 1: 1, 255: 255}',
        'train_dataloader.dataset.pipeline.2.size=(128,128)']),
    (dict(classes=['unchanged', 'building', 'parking lot', 'road', 'vegetation', 'water']), [
        f'{part}_dataloader.dataset.label_map={{0: 0, 1: 1, 2: 5, 3: 2, 4: 3, 5: 4, 255: 255}}'
        for part in ('train', 'test')]),
])
def test_labels_become_the_classes_of_the_shipped_model(changes, expected):
    (command, ) = fine_tuning(REPORT | changes, 'my town')
    assert shlex.split(command)[:6] == ['python', 'tools/train.py',
                                        'configs/rscc_small_finetune.py', '--data-root', 'my town',
                                        '--cfg-options']
    assert shlex.split(command)[6:] == expected


@pytest.mark.parametrize(('changes', 'words'), [
    (dict(classes=['unchanged', 'house']), 'takes the classes building, road'),
    (dict(ground_resolution=10.0), 'pixels of about 0.25 to 1.6 m, and these have 10 m'),
    (dict(bands=[1, 2]), 'images of three bands, and these have 2'),
    (dict(splits=dict(test={})), 'a split named train')])
def test_what_the_shipped_model_cannot_learn_says_why(changes, words):
    (line, ) = fine_tuning(REPORT | changes, 'out')
    assert line.startswith('# rscc-small takes ') and words in line


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
