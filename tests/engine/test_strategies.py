import os
import re
import subprocess
import sys

import pytest
import torch
from fake_data import write_fake_dataset
from mmengine.config import Config

from rscc.engine.checkpoint import read_checkpoint
from rscc.engine.strategies import FSDPStrategy, layer_kinds
from rscc.models.language_models import LanguageModel
from rscc.registry import MODELS
from rscc.text.pretrained_tokenizer import PretrainedTokenizer, train_byte_pairs

QWEN = dict(model_type='qwen2', hidden_size=32, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
            tie_word_embeddings=True)
SPLIT = """
runner_type = 'FlexibleRunner'
strategy = dict(type='FSDPStrategy')
optim_wrapper = dict(clip_grad=None)
train_cfg = dict(max_epochs=1, val_begin=2)
default_hooks = dict(checkpoint=dict(save_best=None, rule=None), panels=dict(num_val=0))
"""


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """A folder as the hub has it: a tiny Qwen2 with its tokenizer."""
    folder = tmp_path_factory.mktemp('qwen2')
    (folder / 'tokenizer.json').write_text(train_byte_pairs(['a house has been built'], 280))
    torch.manual_seed(0)
    LanguageModel(PretrainedTokenizer(folder), config=QWEN).model.save_pretrained(folder)
    return folder


@pytest.fixture
def config(repo, published, tmp_path):
    """Return a function that writes a config, and the name of the dataset's folder."""
    def write(name, extra):
        path = tmp_path / f'{name}.py'
        path.write_text(f"_base_ = ['{repo}/configs/llm_synth.py']\n{extra}\n"
                        'model = dict(change_head=None, caption_head=dict(\n'
                        f"    language_model=dict(_delete_=True, pretrained='{published}',\n"
                        "                        tune='lora', checkpointing=True),\n"
                        "    tokenizer=dict(_delete_=True, type='PretrainedTokenizer',\n"
                        f"                   pretrained='{published}')))\n"
                        "test_evaluator = [dict(type='CaptionMetric', meteor=False)]\n"
                        'train_dataloader = dict(batch_size=2)\n')
        return path

    cfg = Config.fromfile(write('data', ''))
    write_fake_dataset(tmp_path / 'home', cfg.train_dataloader.dataset, pairs=4, size=64)
    return write


@pytest.fixture
def run(repo, tmp_path, python):
    """Return a function that runs a script of bash or Python and gives what it said."""
    env = {name: value for name, value in os.environ.items() if name != 'CDPATH'}
    env |= dict(RSCC_DATA=str(tmp_path / 'home'), OMP_NUM_THREADS='1', PYTHON=sys.executable)

    def call(script, *words, code=0):
        words = list(map(str, words))
        done = (python(script, *words, env=env) if script.endswith('.py') else subprocess.run(
            ['bash', script, *words], cwd=repo, env=env, capture_output=True, text=True,
            timeout=600))
        assert done.returncode == code, f'{done.stdout[-3000:]}\n{done.stderr[-6000:]}'
        return done.stdout + done.stderr

    return call


def test_a_split_model_trains_on_two_processes_and_is_tested_whole(run, tmp_path, config):
    pytest.importorskip('peft')
    split, whole = config('split', SPLIT), config('whole', '')
    said = run('tools/dist_train.sh', split, 2, '--work-dir', tmp_path / 'run')
    assert re.search(r'Epoch\(train\) +\[1\]\[1/1\].* loss: \d', said)
    # Whole, and without what is loaded from where it was published.
    state = read_checkpoint(tmp_path / 'run/epoch_1.pth')['state_dict']
    written = [name for name in state if 'language_model' in name]
    assert written and all('lora_' in name for name in written)
    cfg = Config.fromfile(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('RSCC_DATA', str(tmp_path / 'home'))
        model = MODELS.build(cfg.model)
    assert set(state) == set(model.state_dict())
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in model.state_dict().items()}
    moved = [name for name in written if 'lora_B' in name and state[name].abs().sum() > 0]
    assert moved, 'no adapter was trained'
    said = run('tools/test.py', split, tmp_path / 'run/epoch_1.pth', '--work-dir',
               tmp_path / 'test')
    assert 'captions (x100)' in said


@pytest.mark.parametrize('extra, processes, message', [
    (SPLIT, None, r"strategy 'FSDPStrategy' spreads a model over several processes"),
    (SPLIT.replace("strategy = dict(type='FSDPStrategy')", ''), None, 'needs a strategy: set'),
    (SPLIT.replace("runner_type = 'FlexibleRunner'", ''), None, "FlexibleRunner' alone follows"),
    (SPLIT.replace('FSDPStrategy', 'FSDPStrtegy'), None, "mean 'FSDPStrategy'"),
    (SPLIT.replace('FSDP', 'DeepSpeed'), '1', "needs 'deepspeed', which compiles"),
])
def test_what_cannot_run_is_refused_in_a_line(run, tmp_path, config, extra, processes, message):
    path = config('bad', extra)
    start = (['tools/train.py', path] if processes is None else
             ['tools/dist_train.sh', path, processes])
    said = run(*start, '--work-dir', tmp_path / 'run', code=1)
    assert re.search(message, said), said[-3000:]


class Bare:
    """A strategy that was never started, of which single methods are asked."""

    def __new__(cls):
        return object.__new__(FSDPStrategy)


def test_gradients_cannot_be_clipped_in_parts():
    with pytest.raises(ValueError, match=r'cannot clip gradients.*clip_grad=None'):
        Bare().build_optim_wrapper(dict(clip_grad=dict(max_norm=1.0)))


def test_layers_of_language_models_are_what_is_split(published):
    model = LanguageModel(PretrainedTokenizer(published), config=QWEN)
    assert {kind.__name__ for kind in layer_kinds(model)} == {'Qwen2DecoderLayer'}
    with pytest.raises(ValueError, match='this model has none: name its own'):
        layer_kinds(torch.nn.Linear(1, 1))
