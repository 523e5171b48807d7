import ast
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from rscc import compat
from rscc.models.diffusion import caption_sampling, samplers
from rscc.models.pretrained import load_blip
from rscc.registry import MODELS


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


def test_the_text_of_a_config_is_formatted_once_and_again_when_it_has_changed(monkeypatch):
    from mmengine.config import Config
    from mmengine.config import config as module
    formatted = []
    monkeypatch.setattr(module, 'FormatCode', lambda text, **options: (
        formatted.append(options) or (f'# {len(formatted)}\n{text}', True)))
    compat.format_configs_once.__wrapped__()
    cfg = Config(dict(a=1))
    assert cfg.pretty_text == cfg.pretty_text == '# 1\na=1'
    assert formatted[0]['style_config']['based_on_style'] == 'pep8'
    cfg.a = 2
    assert cfg.pretty_text == '# 2\na=2'


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


@pytest.fixture
def hub(monkeypatch):
    """Let the hub be a server of this machine, asked anew; return its socket."""
    from huggingface_hub import constants
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        monkeypatch.setattr(constants, 'ENDPOINT', f'http://127.0.0.1:{server.getsockname()[1]}')
        monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
        for name in ('http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        compat.hub_in_reach.cache_clear()
        yield server
        compat.hub_in_reach.cache_clear()


def test_a_hub_that_answers_is_in_reach(hub):
    from huggingface_hub import constants
    hub.listen()
    assert compat.hub_in_reach() and not constants.HF_HUB_OFFLINE


def test_a_hub_out_of_reach_is_asked_once_and_its_library_goes_offline(hub, tmp_path, monkeypatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    assert not compat.hub_in_reach() and constants.HF_HUB_OFFLINE
    with pytest.raises(OSError, match=r"there is no folder 'some/blip', it is not among .* out of "
                       r'reach\. Set HF_ENDPOINT to a mirror, .*hf download some/blip --local-dir'):
        load_blip('some/blip')


@pytest.mark.parametrize('name', ['/no/such', './none', '~/none', 'a/b/c'])
def test_a_folder_that_does_not_exist_is_said_to_be_just_that(name, monkeypatch):
    monkeypatch.setenv('RSCC_BLIP', name)
    with pytest.raises(FileNotFoundError, match=rf"^no folder '{name}' \(from RSCC_BLIP\): "):
        load_blip(name)
    compat.refuse_absent_folder('org/name', 'nothing to remedy')


@pytest.mark.parametrize('options', [{}, {'use_sigmoid': False}, {'naive_dice': True}])
def test_ignored_pixels_have_no_influence_on_mmsegs_dice(options):
    loss = MODELS.build(dict(type='mmseg.DiceLoss', **options))
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 4))
    whole = loss(logits, target)
    # Every ignored pixel cut off gives the same loss as the pixels left in place, labelled 255.
    target[:, 2:] = 255
    found, cut = loss(logits, target), loss(logits[:, :, :2], target[:, :2])
    torch.testing.assert_close(found, cut)
    found.backward()
    assert logits.grad[:, :, 2:].abs().max() == 0 < logits.grad[:, :, :2].abs().max()
    assert whole != found and loss(logits, torch.full_like(target, 255)) == 0


def test_apples_gpus_compute_in_float32_and_everything_else_in_float64(monkeypatch):
    assert compat.widest_float(torch.device('mps')) is torch.float32
    assert compat.widest_float(torch.device('cpu')) is torch.float64
    monkeypatch.setattr(caption_sampling, 'widest_float', lambda device: torch.float32)
    draw = caption_sampling.repeated_noise(2, 3, (4, 5), 0, torch.device('cpu'))
    assert draw().dtype == torch.float32
    monkeypatch.setattr(samplers, 'widest_float', lambda device: torch.float32)
    state, _ = samplers.prepare(torch.zeros(1, 2), torch.tensor([1.0, 0.0]))
    assert state.dtype == torch.float32


def test_memory_of_the_process_is_told_where_the_system_tells_it(monkeypatch):
    assert 2**24 < compat.peak_memory() < 2**40
    monkeypatch.setitem(sys.modules, 'resource', None)  # as on Windows
    assert compat.peak_memory() == 0


def test_no_module_needs_at_once_what_windows_lacks(repo):
    lacking = {'fcntl', 'grp', 'pty', 'pwd', 'resource', 'syslog', 'termios', 'tty'}
    found = []
    for path in sorted((repo / 'rscc').rglob('*.py')):
        for node in ast.parse(path.read_text(encoding='utf-8')).body:
            names = ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                     [node.module] if isinstance(node, ast.ImportFrom) else [])
            found += [f'{path.relative_to(repo)}:{node.lineno} imports {name}' for name in names
                      if name in lacking]
    assert not found


def test_no_isinstance_asks_for_attributes_which_submodules_are_not_since_python_3_12(repo):
    found = []
    for path in sorted((repo / 'rscc').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.ClassDef) and any(
                    isinstance(statement, ast.AnnAssign) for statement in node.body) and any(
                    'runtime_checkable' in ast.unparse(one) for one in node.decorator_list):
                found.append(f'{path.relative_to(repo)}:{node.lineno} {node.name}')
    assert not found


def test_a_cache_is_handed_over_by_its_old_and_its_new_name():
    assert compat.cache_argument(lambda ids, cache=None: 0) == 'cache'
    assert compat.cache_argument(lambda ids, past_key_values=None: 0) == 'past_key_values'
    assert compat.cache_argument(lambda ids, **more: 0) == 'past_key_values'


def test_a_cache_without_keys_and_values_is_none_by_its_old_and_its_new_name():
    kept, other = (SimpleNamespace(layers=[layer]) for layer in (
        SimpleNamespace(keys=None), SimpleNamespace(states=None)))
    for name in ('past_key_values', 'cache'):
        assert compat.keys_and_values({'logits': None, name: kept}) is kept
        assert compat.keys_and_values({'logits': None, name: other}) is None
    assert compat.keys_and_values({'logits': None}) is None
    both = SimpleNamespace(self_attention_cache=kept)  # of an encoder and a decoder
    assert compat.keys_and_values({'past_key_values': both}) is both


@pytest.mark.parametrize('name', ['activation_checkpointing_enable',
                                  'gradient_checkpointing_enable'])
def test_layers_are_computed_again_by_the_old_and_the_new_name(name):
    called = []
    compat.compute_again(SimpleNamespace(**{name: called.append}))
    assert called == [dict(use_reentrant=False)]
