"""ClipCap's checkpoint to ours, and ours to one file: the tools as a user calls them."""
import json
import sys

import numpy as np
import pytest
import torch
from fake_clip import save_state_dict, tiny_clip
from mmengine.config import Config

from rscc import compat
from rscc.apis.inferencer import ChangeInferencer
from rscc.registry import MODELS

PREFIX, WIDTH = 3, 32
GPT = dict(vocab_size=40, n_positions=24, n_embd=WIDTH, n_layer=2, n_head=4,
           initializer_range=0.4, bos_token_id=29, eos_token_id=29)
CONFIG = """
model = dict(
    type='ChangeInterpreter',
    encoder=dict(
        type='CLIPViT', width=64, layers=2, heads=1, patch_size=8, output_dim=32,
        input_resolution=32, out_indices=(), pyramid=False, pretrained={clip!r}),
    fusion=dict(type='SingleFrame'),
    caption_head=dict(
        type='PrefixGPTHead', memory_channels=32, prefix_length=3, max_tokens=12,
        mapper=dict(type='AMHTMapper', num_layers=1, num_heads=4),
        language_model=dict(pretrained={gpt!r}),
        tokenizer=dict(type='BytePairTokenizer', vocab_file={vocab!r}, merges_file={merges!r})))
test_dataloader = dict(dataset=dict(
    type='UCMCaptionsDataset', data_root='nowhere', split='test',
    pipeline=[dict(type='LoadFrames'), dict(type='PackChangeInputs')]))
"""


@pytest.fixture
def files(tmp_path):
    """Write CLIP, GPT-2, a vocabulary, a config that names them, and a ClipCap checkpoint."""
    transformers = compat.import_transformers()
    torch.manual_seed(0)
    gpt = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT))
    gpt.save_pretrained(tmp_path / 'gpt2')
    pieces = [*'abcdefghijklmnopqrstuvwxyz', 'Ġ', '.', 'Ġ.', '<|endoftext|>']
    (tmp_path / 'vocab.json').write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (tmp_path / 'merges.txt').write_text('#version: 0.2\nĠ .\n')
    clip = save_state_dict(tiny_clip(), tmp_path / 'clip.pt')
    (tmp_path / 'config.py').write_text(CONFIG.format(
        clip=clip, gpt=str(tmp_path / 'gpt2'), vocab=str(tmp_path / 'vocab.json'),
        merges=str(tmp_path / 'merges.txt')))
    torch.save(clipcap(gpt), tmp_path / 'original.pt')
    return tmp_path


def clipcap(gpt):
    """Return a state dict as ClipCap saves it."""
    state = {f'gpt.{name}': value.clone() for name, value in gpt.state_dict().items()}
    state['gpt.transformer.h.0.attn.bias'] = torch.ones(1, 1, 24, 24)
    state['gpt.transformer.h.0.attn.masked_bias'] = torch.tensor(-1e4)
    hidden = PREFIX * WIDTH // 2
    for number, shape in ((0, (hidden, 32)), (2, (PREFIX * WIDTH, hidden))):
        state[f'clip_project.model.{number}.weight'] = torch.randn(shape) / 4
        state[f'clip_project.model.{number}.bias'] = torch.randn(shape[0])
    return state


@pytest.fixture
def call(load_tool, monkeypatch, capsys):
    """Return a function that runs a converter in this process and gives its output."""

    def run(name, *arguments):
        tool = load_tool(f'model_converters/{name}.py')
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        tool.main()
        return capsys.readouterr().out

    return run


def images():
    draw = np.random.default_rng(0)
    return [draw.integers(256, size=(32, 32, 3), dtype=np.uint8) for _ in range(3)]


def answers(config, checkpoint):
    inferencer = ChangeInferencer(config, checkpoint, device='cpu')
    return [(result.captions[0].text, round(result.captions[0].score, 4))
            for result in inferencer(images())]


def convert(files, call, *options, out='new/whole.pth'):
    done = call('clipcap_to_rscc', files / 'original.pt', files / out, '--config',
                files / 'config.py', '--lm-heads', 4, *options)
    return done, files / out


def test_a_converted_checkpoint_holds_mapper_language_model_and_habits(files, call):
    done, out = convert(files, call)
    assert f'python tools/test.py {out.with_suffix(".py")} {out}' in done
    head = Config.fromfile(out.with_suffix('.py')).model.caption_head
    assert head.mapper == dict(type='MLPMapper', hidden_channels=PREFIX * WIDTH // 2)
    assert head.stop_text == ['.', ' .'] and not head.learn_end
    assert head.language_model.config.n_layer == 2 and head.decoding.beam_rule == 'clipcap'
    weights = torch.load(out, weights_only=True)['state_dict']
    original = torch.load(files / 'original.pt', weights_only=True)
    assert torch.equal(weights['caption_head.language_model.model.transformer.wte.weight'],
                       original['gpt.transformer.wte.weight'])
    clip = torch.load(files / 'clip.pt', weights_only=True)
    assert torch.equal(weights['encoder.visual.proj'], clip['visual.proj'])
    assert len({text for text, _ in answers(None, out)}) > 1


def test_a_language_model_that_was_not_tuned_may_stay_where_it_is(files, call):
    _, whole = convert(files, call)
    _, small = convert(files, call, '--language-model', files / 'gpt2', out='small.pth')
    names = torch.load(small, weights_only=True)['state_dict']
    assert not any('language_model' in name for name in names)
    assert answers(None, small) == answers(None, whole)


def test_a_tuned_language_model_is_kept_all_the_same(files, call):
    state = torch.load(files / 'original.pt', weights_only=True)
    state['gpt.transformer.wpe.weight'] += 0.5
    torch.save(state, files / 'original.pt')
    _, whole = convert(files, call)
    _, other = convert(files, call, '--language-model', files / 'gpt2', out='other.pth')
    assert answers(None, other) == answers(None, whole)


def test_an_encoder_without_weights_is_refused_and_nothing_is_written(files, call):
    with pytest.raises(SystemExit, match=r"holds no encoder, and 'model.encoder' of .* random"):
        convert(files, call, '--cfg-options', 'model.encoder.pretrained=None')
    assert not (files / 'new').exists()


def test_another_file_is_told(files, call):
    torch.save(dict(a=torch.zeros(1)), files / 'original.pt')
    with pytest.raises(SystemExit, match='error: no ClipCap weights: among 1 tensors'):
        convert(files, call)


def test_a_merged_export_answers_without_the_published_language_model(files, call):
    pytest.importorskip('peft')
    cfg = Config.fromfile(files / 'config.py')
    cfg.model.caption_head.language_model.update(tune='lora', lora=dict(r=2))
    torch.manual_seed(1)
    model = MODELS.build(cfg.model)
    for name, value in model.named_parameters():
        if 'lora_B' in name or 'adaptation' in name:
            torch.nn.init.normal_(value, std=0.2)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        dataset_meta=dict(language='en', task='single'))), files / 'trained.pth')
    (files / 'lora.py').write_text(cfg.pretty_text)
    expected = answers(str(files / 'lora.py'), files / 'trained.pth')
    done = call('export_merged', files / 'lora.py', files / 'trained.pth', files / 'whole.pth')
    assert done.startswith(f'written: {files / "whole.pth"} (')
    (files / 'gpt2').rename(files / 'gone')
    (files / 'clip.pt').unlink()
    for one, other in zip(answers(None, files / 'whole.pth'), expected, strict=True):
        assert one[0] == other[0] and one[1] == pytest.approx(other[1], abs=2e-4)
    head = Config.fromfile(files / 'whole.py').model.caption_head
    assert head.mapper.type == 'TransformerMapper' and head.mapper.query_bias
    assert head.language_model.tune == 'frozen' and 'pretrained' not in head.language_model


def test_a_checkpoint_of_another_model_is_not_merged(files, call):
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), files / 'trained.pth')
    with pytest.raises(SystemExit, match=r'does not fit the model of .* 1 unexpected'):
        call('export_merged', files / 'config.py', files / 'trained.pth', files / 'whole.pth')
    assert not (files / 'whole.pth').exists()
