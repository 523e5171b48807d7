"""Scenes by a checkpoint: the same answer as that of the inferencer, from Python and by command."""
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_scenes import damage, pictures, write_tiff

from rscc.apis import ChangeInferencer, interpret_scene
from rscc.commands import infer
from rscc.scenes.torch_predictor import TorchPredictor

_spec = importlib.util.spec_from_file_location('fake_model', Path(__file__).with_name(
    'fake_model.py'))
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)
SIZE = (200, 250)


@pytest.fixture
def checkpoint(tmp_path):
    return fake.save_checkpoint(tmp_path / 'fake.pth', fake.fake_config())


@pytest.fixture
def pair(tmp_path):
    earlier, later = pictures(*SIZE)
    return [write_tiff(tmp_path / f'{name}.tif', pixels)
            for name, pixels in (('before', earlier), ('after', later))]


def classes(folder):
    import rasterio
    with rasterio.open(folder / 'change.tif') as file:
        return file.read(1)


def test_a_scene_is_answered_as_an_image(checkpoint, pair, tmp_path):
    done = interpret_scene(None, *pair, tmp_path / 'out', checkpoint=checkpoint, device='cpu',
                           window=64, overlap=16, say=lambda text: None)
    whole = ChangeInferencer(None, checkpoint, 'cpu', window=64, overlap=16)(*pair)
    assert (classes(tmp_path / 'out') == whole.mask).all() and whole.mask.any()
    summary = done.summaries['before_after']
    assert summary['model']['weights'] == 'fake.pth' and len(summary['model']['weights_hash']) == 64
    assert summary['pixels']['changed'] == int((whole.mask != 0).sum())
    assert all(path.is_file() for path in done.files)


def test_sentences_are_those_of_changed_windows(checkpoint, pair, tmp_path):
    import geopandas
    interpret_scene(None, *pair, tmp_path / 'out', checkpoint=checkpoint, device='cpu', window=64,
                    overlap=16, sample_every=0, say=lambda text: None)
    said = geopandas.read_file(tmp_path / 'out/changes.gpkg', layer='sentences')
    whole = ChangeInferencer(None, checkpoint, 'cpu', window=64, overlap=16)(*pair)
    told = [window for window in whole.windows if window.change_probability >= 0.5]
    # A model of one's own describes every window; flags tell which ones have changed.
    assert len(said) == len(whole.windows) and said['flag'].sum() == len(told)


def test_windows_can_be_enlarged_at_the_same_scale(checkpoint):
    usual = TorchPredictor.load(None, checkpoint, 'cpu', window=64, overlap=16)
    larger = usual.enlarged(2)
    assert larger.facts.window == (128, 128) and larger.facts.overlap == (16, 16)
    assert larger.factor == 2 and usual.facts.window == (64, 64)
    frames = [picture[:128, :128] for picture in pictures()]
    (whole,) = larger.predict([frames], ['never'])
    parts = usual.predict([[frame[:64, 64:] for frame in (f[:64] for f in frames)]], ['never'])
    assert np.array_equal(whole.probabilities[:64, 64:], parts[0].probabilities)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(decoding={'beams': 3}), "no decoding option 'beams'"),
    (dict(window=0), 'window=0'),
    (dict(part=(3, 2)), '--part 3/2'),
    (dict(part=(1, 2), combine=True), 'exclude each other')])
def test_wrong_options_are_refused(checkpoint, pair, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        interpret_scene(None, *pair, tmp_path / 'out', checkpoint=checkpoint, device='cpu',
                        say=lambda text: None, **options)


def command(checkpoint, pair, out, *more):
    infer.main([str(checkpoint), '--img-from', pair[0], '--img-to', pair[1], '--out', str(out),
                '--device', 'cpu', '--window', '64', *more])


def test_the_command_takes_georeferenced_images_to_scenes(checkpoint, pair, tmp_path, capsys):
    command(checkpoint, pair, tmp_path / 'out', '--dry-run')
    told = capsys.readouterr().out
    assert 'windows      ' in told and 'memory       about' in told
    assert not (tmp_path / 'out/change.tif').exists()
    for number in (1, 2):
        command(checkpoint, pair, tmp_path / 'out', '--block-size', '256', '--part', f'{number}/2')
    assert 'the same command with --combine' in capsys.readouterr().out
    command(checkpoint, pair, tmp_path / 'out', '--block-size', '256', '--combine')
    told = capsys.readouterr().out
    assert 'regions changed' in told or 'region changed' in told
    assert 'report.html' in told and (tmp_path / 'out/changes.gpkg').is_file()


def test_gaps_have_an_exit_code_of_their_own(checkpoint, pair, tmp_path, capsys):
    damage(pair[1], 1, 1)
    with pytest.raises(SystemExit) as stopped:
        command(checkpoint, pair, tmp_path / 'out')
    assert stopped.value.code == 3 and 'could not be read' in capsys.readouterr().err
    summary = json.loads((tmp_path / 'out/summary.json').read_text())
    assert len(summary['gaps']) == 1 and (classes(tmp_path / 'out')[64:128, 64:128] == 255).all()


@pytest.mark.parametrize(('more', 'message'), [
    (['--min-area', 'nan'], 'expected a number, 0 or more'),
    (['--part', '3/2'], 'names no part'),
    (['--part', '1/2', '--combine'], 'exclude each other'),
    (['--dry-run', '--attention'], 'concerns single pictures'),
    (['--block-size', '10'], 'expected at least 256')])
def test_the_command_refuses_at_once(checkpoint, pair, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit, match='2'):
        command(checkpoint, pair, tmp_path / 'out', *more)
    assert message in capsys.readouterr().err and not (tmp_path / 'out').exists()


def test_one_line_says_that_the_packages_for_scenes_are_missing(checkpoint, pair, monkeypatch,
                                                                tmp_path):
    monkeypatch.setitem(sys.modules, 'geopandas', None)
    with pytest.raises(SystemExit, match=r'^error: .* .geopandas.: pip install "rscc\[geo\]"'):
        command(checkpoint, pair, tmp_path / 'out')
