"""Exported models in miniature; each is exported once for all tests."""
import pytest
import tiny_models as tiny

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
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            checkpoint = models[name](folder / f'{name}.pth')
            done = export_onnx(None, checkpoint, folder / 'out' / f'{name}.onnx', ExportOptions())
            made[name] = ChangeInferencer(str(checkpoint), device='cpu'), done
        return made[name]

    return get
