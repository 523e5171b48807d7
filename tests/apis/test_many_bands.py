"""Pairs of more than three bands: the same answer by every route, from training to ONNX."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rscc.apis import ChangeInferencer, interpret_scene
from rscc.commands import infer
from rscc.commands import test as test_command
from rscc.commands import train as train_command
from rscc.deployment.export import export_onnx
from rscc.scenes.torch_predictor import TorchPredictor
from rscc.synth.generator import Parameters, generate

rasterio = pytest.importorskip('rasterio')
pytest.importorskip('geopandas')
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module', params=[4, 10])
def trained(request, tmp_path_factory):
    """Train a config on a few rendered pairs, its encoder narrowed; files and checkpoint."""
    home, count = tmp_path_factory.mktemp(f'bands{request.param}'), request.param
    generate(home / f'synth_{count}_bands', Parameters(4, 2, 2, 0, bands=count))
    config = home / 'narrow.py'
    config.write_text(
        f"_base_ = '{ROOT}/configs/btc_{count}_bands_synth.py'\n"
        "model = dict(encoder=dict(model='test_resnet', pretrained=None),\n"
        '             change_head=dict(channels=8))\n'
        'train_dataloader = dict(batch_size=2)\ntrain_cfg = dict(max_epochs=1)\n')
    work = home / 'work'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('RSCC_DATA', str(home))
        train_command.main([str(config), '--work-dir', str(work)])
        test_command.main([str(config), str(work / 'epoch_1.pth'), '--show-dir',
                           str(home / 'shown'), '--out', str(home / 'said.json'), '--work-dir',
                           str(work)])
    images = home / f'synth_{count}_bands/images/test'
    return home, work / 'epoch_1.pth', [images / date / 'test_000000.tif' for date in 'AB']


def placed(folder, files):
    """Write both dates beside each other twice, with a place on the map; return their paths."""
    paths = []
    for name, file in zip(('before', 'after'), files, strict=True):
        with rasterio.open(file) as date:
            bands = date.read()
        paths.append(folder / f'{name}.tif')
        with rasterio.open(paths[-1], 'w', driver='GTiff', height=256, width=512, crs='EPSG:32631',
                           count=len(bands), dtype=bands.dtype, tiled=True, blockxsize=64,
                           blockysize=64, transform=rasterio.Affine(.5, 0, 5e5, 0, -.5, 5e6)
                           ) as out:
            out.write(np.concatenate([bands, bands[..., ::-1]], 2))
    return [str(path) for path in paths]


def classes(folder):
    with rasterio.open(folder / 'change.tif') as file:
        return file.read(1)


def stored(files):
    arrays = []
    for file in files:
        with rasterio.open(file) as date:
            arrays.append(np.moveaxis(date.read(), 0, -1))
    return arrays


def test_training_and_testing_see_all_bands_and_show_three(trained):
    home, checkpoint, _ = trained
    weights = torch.load(checkpoint, weights_only=True)['state_dict']
    count = 4 if (home / 'synth_4_bands').is_dir() else 10
    first = next(value for name, value in weights.items() if value.ndim == 4)
    assert first.shape[1] == count
    assert {path.name for path in (home / 'shown/panels').iterdir()} == {
        'test_000000.png', 'test_000001.png'}
    said = json.loads((home / 'said.json').read_text())
    assert len(said['dataset']['bands']) == count and len(said['dataset']['scale']) == count
    # How images are normalised stands in the checkpoint, the predictions and the scores.
    record = torch.load(checkpoint, weights_only=True)['meta']['normalisation']
    assert len(record['mean']) == count and 'test_resnet' in record['source']
    assert said['normalisation'] == record
    assert json.loads((checkpoint.parent / 'metrics.json').read_text())['normalisation'] == record


def test_a_pair_is_answered_alike_from_files_arrays_tensors_and_folders(trained, tmp_path):
    _, checkpoint, files = trained
    inferencer = ChangeInferencer(str(checkpoint), device='cpu')
    result = inferencer(*map(str, files))
    assert result.frames[0].shape == (256, 256, len(inferencer.model_pass.load.bands))
    assert result.panel().shape[2] == 3 and result.overlay().shape == (256, 256, 3)
    arrays = stored(files)
    tensors = [torch.from_numpy(array.astype(np.int32)).permute(2, 0, 1) for array in arrays]
    contents = [file.read_bytes() for file in files]
    for given in (arrays, tensors, contents):
        assert np.array_equal(inferencer(*given).mask, result.mask)
    folders = [str(file.parent) for file in files]
    infer.main([str(checkpoint), '--img-from', folders[0], '--img-to', folders[1], '--pairs',
                '--out', str(tmp_path / 'out'), '--device', 'cpu'])
    assert (tmp_path / 'out/test_000000_mask.png').is_file()
    report = json.loads((tmp_path / 'out/test_000000.json').read_text())
    assert report['processing']['bands'] == list(inferencer.model_pass.load.bands)
    record = torch.load(checkpoint, weights_only=True)['meta']['normalisation']
    assert report['processing']['normalisation'] == record


def test_a_scene_by_checkpoint_and_by_onnx_is_answered_as_the_image_is(trained, tmp_path):
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    _, checkpoint, files = trained
    pair = placed(tmp_path, files)
    expected = ChangeInferencer(str(checkpoint), device='cpu')(*pair).mask
    interpret_scene(str(checkpoint), *pair, str(tmp_path / 'torch'))
    assert np.array_equal(classes(tmp_path / 'torch'), expected)
    export_onnx(None, str(checkpoint), tmp_path / 'model.onnx')
    interpret_scene(str(tmp_path / 'model.onnx'), *pair, str(tmp_path / 'onnx'))
    assert (classes(tmp_path / 'onnx') == expected).mean() > 0.999
    record = torch.load(checkpoint, weights_only=True)['meta']['normalisation']
    for folder in ('torch', 'onnx'):
        summary = json.loads((tmp_path / folder / 'summary.json').read_text())
        assert summary['model']['normalisation'] == record
    # Bands and values of the training are those of the scene, unless it says others.
    facts = TorchPredictor.load(str(checkpoint), device='cpu').facts
    scale = [str(value) for low, high in facts.scale for value in (low, high)]
    infer.main(['--onnx', str(tmp_path / 'model.onnx'), '--img-from', pair[0], '--img-to', pair[1],
                '--out', str(tmp_path / 'said'), '--bands', *map(str, facts.bands), '--scale',
                *scale, '--match-histogram'])
    assert classes(tmp_path / 'said').shape == expected.shape


def test_another_number_of_bands_than_the_model_takes_is_refused(trained, tmp_path):
    _, checkpoint, files = trained
    with pytest.raises(ValueError, match=r'this model takes images of \d+ bands, and 3 are read, '
                       '3, 2, 1: choose'):
        ChangeInferencer(str(checkpoint), device='cpu', bands=(3, 2, 1), scale=(0, 3000))
    with pytest.raises(ValueError, match=r'has \d+ pairs for the 3 bands \(3, 2, 1\)'):
        ChangeInferencer(str(checkpoint), device='cpu', bands=(3, 2, 1))
    with pytest.raises(SystemExit, match=r'bands=\(3, 2, 1\) names 3: in training they were --b'):
        infer.main([str(checkpoint), '--img-from', str(files[0]), '--img-to', str(files[1]),
                    '--device', 'cpu', '--out', str(tmp_path), '--bands', '3', '2', '1',
                    '--scale', '0', '3000', '--force'])
