"""Exported models in miniature; each is exported once for all tests of all workers."""
import os
import pickle

import pytest
import tiny_models as tiny
from filelock import FileLock

from rscc.apis import ChangeInferencer
from rscc.deployment.export import ExportOptions, export_onnx


@pytest.fixture(scope='session')
def exported(tmp_path_factory):
    """Return a function: name of a model -> (its torch inferencer, what was exported)."""
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    resize = (dict(type='FramesResize', size=(32, 48)), )
    models = {
        'joint': lambda path: tiny.save(path, tiny.JOINT, classes=('unchanged', 'a', 'b')),
        'detector': lambda path: tiny.save(
            path, dict(tiny.JOINT, caption_head=None, flag_head=None), steps=resize,
            classes=('unchanged', 'a', 'b'), ground_resolution=0.5),
        'bilingual': lambda path: tiny.save(path, dict(
            tiny.JOINT, change_head=None, caption_head=tiny.BILINGUAL), steps=resize),
        'lstm': lambda path: tiny.save(path, dict(tiny.SINGLE, caption_head=tiny.LSTM),
                                       steps=resize, task='single'),
        'gpt': lambda path: tiny.save(path, dict(tiny.SINGLE, caption_head=tiny.GPT),
                                      steps=resize, task='single', language='en'),
        'changeclip': lambda path: tiny.save(path, tiny.CHANGECLIP, image_size=(128, 128),
                                             classes=('unchanged', 'built')),
    }
    made, shared = {}, tmp_path_factory.getbasetemp()
    if 'PYTEST_XDIST_WORKER' in os.environ:
        shared = shared.parent  # of all workers of this run

    def get(name):
        if name not in made:
            with FileLock(shared / f'exported_{name}.lock'):
                checkpoint, done = export(name, shared / f'exported_{name}')
            made[name] = ChangeInferencer(str(checkpoint), device='cpu'), done
        return made[name]

    def export(name, folder):
        """Export a model, or return what another worker has exported."""
        kept = folder / 'exported.pickle'
        if not kept.is_file():
            folder.mkdir(exist_ok=True)
            checkpoint = models[name](folder / f'{name}.pth')
            done = export_onnx(None, checkpoint, folder / 'out' / f'{name}.onnx', ExportOptions())
            kept.write_bytes(pickle.dumps((checkpoint, done)))
        return pickle.loads(kept.read_bytes())

    return get
