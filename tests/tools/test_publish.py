"""A published model by its name on every route that takes a checkpoint, through the real tools."""
import json
import os
import shutil

import numpy as np
import pytest
import tiny_models as tiny
from mmengine.config import Config
from PIL import Image

from rscc.config import files
from rscc.deployment import publishing
from rscc.engine.checkpoint import read_checkpoint
from rscc.synth.generator import Parameters, generate
from rscc.synth.objects import CLASSES, PALETTE

TOOL = 'model_converters/publish.py'
MODEL = dict(tiny.JOINT, change_head=dict(tiny.FPN, num_classes=len(CLASSES)))


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A folder as rscc/weights; rscc-small in it is a model with drawn weights."""
    return tmp_path_factory.mktemp('weights')


@pytest.fixture
def run(run_tool, monkeypatch, weights, tmp_path):
    """Return a function that runs a tool where ``rscc-small`` is published; it gives its output."""
    monkeypatch.setattr(files, 'packaged_weights', lambda: weights)
    monkeypatch.setattr(publishing, 'PAIRS', 2)
    folder = weights / 'rscc_small'

    def call(tool, *arguments, expect=0):
        done = run_tool(tool, *arguments)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout if expect == 0 else done.stderr

    if not folder.is_dir():
        checkpoint = tiny.save(tmp_path / 'trained.pth', MODEL, classes=CLASSES,
                               palette=[*map(list, PALETTE)], ground_resolution=0.5)
        said = call(TOOL, checkpoint, '--name', 'rscc-small', '--licence', 'CC-BY-SA-4.0', '--out',
                    folder, '--architecture', 'ResNet-18')
        assert '2 of 2 sentences equal' in said and 'SHA-256 ' in said
    return call


@pytest.fixture
def pair(tmp_path):
    """Two pictures and what ``tools/infer.py`` calls them."""
    draw = np.random.default_rng(0)
    for name in ('before', 'after'):
        Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
            tmp_path / f'{name}.png')
    return ('--img-from', tmp_path / 'before.png', '--img-to', tmp_path / 'after.png')


LINE = 'model        rscc-small (ResNet-18, 0.1 M parameters, CC BY-SA 4.0)'


def test_without_a_checkpoint_the_shipped_model_answers_and_says_so(run, pair, weights, tmp_path):
    out = run('infer.py', *pair, '--device', 'cpu', '--out', tmp_path / 'out')
    assert out.splitlines()[0] == LINE and '\nsentence ' in out
    told = json.loads((tmp_path / 'out/before_after.json').read_text())
    assert told['checkpoint'] == 'rscc-small'
    named = run('infer.py', 'rscc-small', *pair, '--device', 'cpu')
    assert named == out[:out.index('written')]
    # A file of that name that lies elsewhere is told apart.
    shutil.copytree(weights / 'rscc_small', tmp_path / 'other')
    assert run('infer.py', tmp_path / 'other', *pair).startswith(
        'model        other/model.safetensors (rscc-small, ResNet-18, ')


def test_scenes_without_a_checkpoint_are_answered_by_it_too(run, pair, tmp_path):
    pytest.importorskip('geopandas')
    (tmp_path / 'list.csv').write_text(f'name,from,to\na,{pair[1]},{pair[3]}\n')
    out = run('infer.py', '--scenes', tmp_path / 'list.csv', '--out', tmp_path / 'out')
    assert out.splitlines()[0] == LINE
    told = json.loads((tmp_path / 'out/a/summary.json').read_text())
    assert 'rscc-small' in json.dumps(told) and 'model.safetensors' not in json.dumps(told)


def test_single_images_without_a_checkpoint_are_told_that_it_reads_pairs(run, pair):
    said = run('infer.py', '--img', pair[1], expect=2)
    assert 'rscc-small, which answers where no CKPT is named, reads pairs' in said
    assert 'reads pairs; img_to is missing' in run('infer.py', 'rscc-small', '--img', pair[1],
                                                   expect=1)


def test_wrong_names_suggest_it_and_absent_weights_say_what_to_do(run, pair, weights, monkeypatch):
    assert "Did you mean 'rscc-small'?" in run('infer.py', 'rscc-smal', *pair, expect=1)
    assert "no checkpoint at 'rscc-smal'. Did you mean 'rscc-small'?" in run(
        'test.py', 'configs/blip_synth.py', 'rscc-smal', expect=1)
    folder = pair[1].parent / 'work_dirs/rscc_small'
    folder.mkdir(parents=True)
    assert "The published weights of this config are named 'rscc-small'." in run(
        'infer.py', folder, *pair, expect=1)
    monkeypatch.setattr(files, 'packaged_weights', lambda: weights / 'none')
    assert "error: the weights of 'rscc-small' are not in this installation of rscc" in run(
        'infer.py', *pair, expect=1)


def test_a_changed_file_is_told_and_still_answers(run, pair, weights, monkeypatch):
    said = []
    monkeypatch.setattr(files, 'warn_once', said.append)
    record = weights / 'rscc_small/stac_item.json'
    kept = record.read_text()
    record.write_text(kept.replace('"1220', '"122000'))
    try:
        assert run('infer.py', *pair).startswith(LINE)
    finally:
        record.write_text(kept)
    assert said and 'is not the file that was published' in said[0]


def test_the_other_tools_take_the_name(run, pair, tmp_path):
    out = run('analysis_tools/check_pair.py', pair[1], pair[3], '--ckpt', 'rscc-small',
              '--json', tmp_path / 'check.json')
    assert out
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    out = run('deployment/export_onnx.py', 'rscc-small', '--out', tmp_path / 'm.onnx',
              '--no-captions')
    assert 'change_head, flag_head' in out


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """The built-in dataset in miniature."""
    folder = tmp_path_factory.mktemp('data')
    generate(folder / 'synth', Parameters(train=4, val=2, test=2, seed=0), jobs=1)
    return folder


def config(path, **model):
    """Write a config that trains the same kind of model on the built-in dataset."""
    base = os.path.join(os.path.dirname(files.__file__), '../../configs')
    cfg = Config.fromfile(os.path.join(base, 'blip_synth.py'))
    cfg.model = dict(data_preprocessor=dict(type='ChangeDataPreprocessor'), **MODEL, **model)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.cache = None
        loader.batch_size = 2
    cfg.merge_from_dict({'train_cfg.max_epochs': 1, 'work_dir': str(path.parent / path.stem),
                         'experiment_name': path.stem, 'vis_backends': [],
                         'visualizer.vis_backends': []})
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    cfg.test_evaluator = [dict(type='ChangeMetric')]
    cfg.dump(path)
    return path


def test_a_config_is_tested_with_its_weights(run, data, tmp_path):
    out = run('test.py', config(tmp_path / 'tested.py'), 'rscc-small', '--data-root', data, '--out',
              tmp_path / 'p.json')
    assert 'F1_changed' in out
    assert json.loads((tmp_path / 'p.json').read_text())['checkpoint'] == 'rscc-small'


def test_it_is_fine_tuned_and_heads_of_other_shapes_are_told(run, data, tmp_path):
    path = config(tmp_path / 'tuned.py')
    run('train.py', path, '--data-root', data, '--cfg-options', 'load_from=rscc-small',
        'model.change_head.channels=8', 'optim_wrapper.optimizer.lr=0.0')
    log = ''.join(found.read_text() for found in (tmp_path / 'tuned').glob('*/*.log'))
    assert "checkpoint 'rscc-small' fits the model in part: " in log
    assert 'of another shape' in log and 'change_head.' in log
    one, other = (read_checkpoint(name)['state_dict'] for name in (
        'rscc-small', tmp_path / 'tuned/epoch_1.pth'))
    key = 'encoder.backbone.layer1.0.conv1.weight'
    assert (one[key] == other[key]).all()
    said = run('train.py', path, '--data-root', data, '--cfg-options', 'load_from=rscc-smal',
               expect=1)
    assert "load_from: 'rscc-smal' is no checkpoint. Did you mean 'rscc-small'?" in said


def test_a_published_model_cannot_be_resumed(run, data, tmp_path):
    said = run('train.py', config(tmp_path / 'resumed.py'), '--data-root', data, '--resume',
               'rscc-small', expect=1)
    assert "'rscc-small' cannot be resumed: it holds no optimizer" in said
