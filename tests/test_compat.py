import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from rscc import compat


def run(code):
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torchvision_imports_after_the_cure_and_classes_of_it_work():
    compat.prepare_torchvision()
    from torchvision.transforms.functional import hflip
    assert hflip(torch.arange(4).reshape(1, 1, 4)).flatten().tolist() == [3, 2, 1, 0]


def test_cure_is_skipped_where_torchvision_is_absent(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert compat.prepare_torchvision.__wrapped__() is None


def test_transformers_submodule_is_imported():
    assert hasattr(compat.import_transformers('models.blip'), 'BlipConfig')


def test_failing_transformers_shows_the_root_cause(monkeypatch):

    def fail(name):
        try:
            raise OSError('libcudart.so.12: cannot open')
        except OSError as root:
            raise RuntimeError('look above') from root

    monkeypatch.setattr('importlib.import_module', fail)
    with pytest.raises(ImportError, match=r"'transformers\.models\.blip' cannot be imported: "
                       r'OSError: libcudart'):
        compat.import_transformers('models.blip')


def test_open_clip_submodule_is_imported_and_a_failure_names_it(monkeypatch):
    assert hasattr(compat.import_open_clip('transformer'), 'QuickGELU')

    def fail(name):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr('importlib.import_module', fail)
    with pytest.raises(ImportError, match=r"'open_clip\.openai' cannot be imported: .*pip install"):
        compat.import_open_clip('openai')


def test_mmseg_imports_and_leaves_no_stand_in_behind():
    out = run('import sys\nfrom rscc import compat\ncompat.import_mmseg_models()\n'
              'from mmengine.utils.dl_utils import collect_env\n'
              'module = sys.modules.get("mmcv._ext")\n'
              'print(type(module).__name__)')
    assert out.strip() in ('NoneType', 'module')


def test_compiled_operator_says_which_package_has_it():
    stand_in = compat._MissingExtension('mmcv._ext')
    with pytest.raises(RuntimeError, match=r"operator 'nms' belongs to the full mmcv.*pip install "
                       r"'mmcv==2\.1\.0'"):
        stand_in.nms(1)
    with pytest.raises(AttributeError, match='__path__'):
        _ = stand_in.__path__


def test_history_and_numpy_scalars_load_with_weights_only(tmp_path):
    compat.allow_mmengine_checkpoints()
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    kept = {'history': history, 'scalar': np.float64(0.5), 'count': np.int64(3),
            'array': np.arange(3), 'flag': np.bool_(True)}
    torch.save(kept, tmp_path / 'x.pth')
    loaded = torch.load(tmp_path / 'x.pth', weights_only=True)
    assert loaded['history'].mean() == 2 and loaded['history'].statistics('max', 2) == 3
    assert (loaded['scalar'], loaded['count'], bool(loaded['flag'])) == (0.5, 3, True)
    assert loaded['array'].tolist() == [0, 1, 2]


class Reach:

    def __init__(self, owner, name):
        self.args = owner, name

    def __reduce__(self):
        return getattr, self.args


@pytest.mark.parametrize('owner,name', [(HistoryBuffer, '__init__'), (np.ndarray, 'tofile')])
def test_getattr_gives_out_statistics_only(tmp_path, owner, name):
    compat.allow_mmengine_checkpoints()
    torch.save({'x': Reach(owner, name)}, tmp_path / 'x.pth')
    with pytest.raises(Exception, match=r'getattr of .* is not allowed'):
        torch.load(tmp_path / 'x.pth', weights_only=True)
