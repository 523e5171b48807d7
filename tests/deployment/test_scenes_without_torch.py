"""A scene by the console command in a process that cannot import torch, against torch's scene."""
import subprocess
import sys

import numpy as np
import pytest
from scene_files import texture, write_raster

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
pytest.importorskip('rasterio')
pytest.importorskip('pyogrio')
CODE = """
import runpy, sys
HEAVY = ('torch', 'mmengine', 'mmseg', 'mmcv', 'transformers')

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in HEAVY:
            raise ImportError(f'{name} is imported')

sys.meta_path.insert(0, Refuse())
sys.argv = ['rscc', *sys.argv[1:]]
try:
    runpy.run_module('rscc', run_name='__main__')
finally:
    assert not set(HEAVY) & set(sys.modules)
"""


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    """Two GeoTIFFs larger than a window, the later one with other content in the middle."""
    folder = tmp_path_factory.mktemp('pair')
    earlier, later = texture(150, 170, 1), texture(150, 170, 1)
    later[:, 40:100, 50:120] = texture(60, 70, 2)
    return [write_raster(folder / f'{name}.tif', bands) for name, bands in
            (('before', earlier), ('after', later))]


def rows_of(folder):
    import pyogrio
    rows = pyogrio.read_dataframe(next(folder.rglob('changes.gpkg')), layer='sentences')
    return sorted((row.geometry.bounds, row.sentence, bool(row.flag), round(row.score, 3))
                  for row in rows.itertuples())


def pixels_of(folder):
    import rasterio
    with rasterio.open(next(folder.rglob('change.tif'))) as file:
        return file.read(1)


def test_the_command_answers_a_scene_as_torch_does(exported, pair, repo, tmp_path):
    inferencer, done = exported('joint')
    told = subprocess.run(
        [sys.executable, '-c', CODE, 'infer', '--onnx', done.files[0], '--img-from', pair[0],
         '--img-to', pair[1], '--out', tmp_path / 'onnx', '--force'],
        cwd=repo, capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 0, told.stderr + told.stdout
    from rscc.apis import interpret_scene
    interpret_scene(inferencer.checkpoint, *pair, tmp_path / 'torch', device='cpu', force=True,
                    decoding=dict(num_beams=1), say=lambda text: None)
    own, true = pixels_of(tmp_path / 'onnx'), pixels_of(tmp_path / 'torch')
    assert own.shape == (150, 170) and (own == true).mean() >= 0.999
    assert len(np.unique(true)) > 1
    assert rows_of(tmp_path / 'onnx') == rows_of(tmp_path / 'torch') != []


def test_errors_are_one_line_without_torch_too(repo, pair, tmp_path):
    told = subprocess.run(
        [sys.executable, '-c', CODE, 'infer', '--onnx', tmp_path / 'none.onnx', '--img-from',
         pair[0], '--img-to', pair[1], '--out', tmp_path / 'out'],
        cwd=repo, capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 1 and 'Traceback' not in told.stderr
    assert told.stderr.splitlines()[-1].startswith("error: no exported model at '")


def test_settings_of_checkpoints_are_refused(exported, pair, tmp_path):
    from rscc.apis import interpret_scene
    _, done = exported('joint')
    with pytest.raises(ValueError, match='amp=True is for checkpoints: an exported model'):
        interpret_scene(done.files[0], *pair, tmp_path / 'out', amp=True)
    with pytest.raises(ValueError, match=r'max_tokens <= 8 \(the limit of the export\)'):
        interpret_scene(done.files[0], *pair, tmp_path / 'out', decoding=dict(max_tokens=9))
