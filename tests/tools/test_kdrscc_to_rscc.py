"""KD-RSCC's files to ours: the tool as a user calls it."""
import json
import sys

import numpy as np
import pytest
import torch
from kdrscc_records import kd_rscc
from mmengine.config import Config
from safetensors.torch import save_file

from rscc.apis.inferencer import ChangeInferencer

WORDS = ['a', 'house', 'is', 'built', 'no', 'change']
ENTRIES = ['<pad>', *WORDS, '<unk>', '<start>', '<end>']
CONFIG = """
model = dict(
    type='ChangeInterpreter',
    encoder=dict(
        type='BackboneEncoder', pool_tokens=14,
        backbone=dict(
            type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4, num_stages=3,
            strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,), norm_eval=False,
            init_cfg=dict(type='Pretrained', checkpoint='nowhere'))),
    fusion=dict(type='SignedDifference'),
    caption_head=dict(
        type='KarrasCaptionHead', memory_channels=1,
        tokenizer=dict(type='WordTokenizer', vocab_file='replaced.json'),
        decoding=dict(steps=4)))
test_dataloader = dict(dataset=dict(
    type='LEVIRCCDataset', data_root='nowhere', split='test',
    pipeline=[dict(type='LoadFrames'), dict(type='PackChangeInputs')]))
"""


@pytest.fixture
def files(tmp_path):
    """Write a training file, its slim version, both kinds of vocabulary and a config."""
    trained, averaged = (kd_rscc(len(ENTRIES), seed=seed) for seed in (1, 2))
    torch.save(dict(config=dict(model=dict(type='rscc', input_size=[9])), model=trained,
                    model_ema=averaged, opt={}, sched={}, epoch=1, step=10, gns_stats=None,
                    elapsed=1.5), tmp_path / 'LevirCC_00000010.pth')
    slim = {name: value.half().clone() if value.is_floating_point() else value
            for name, value in averaged.items()}
    save_file(slim, tmp_path / 'slim.safetensors', metadata=dict(config='{}'))
    (tmp_path / 'config.py').write_text(CONFIG)
    (tmp_path / 'word_encoding.json').write_text(json.dumps(
        dict(format='rscc word encoding', words=ENTRIES, length=9)))
    (tmp_path / 'vocab.json').write_text(json.dumps(
        {word: place for place, word in enumerate(ENTRIES) if place}))
    return tmp_path


@pytest.fixture
def convert(files, load_tool, monkeypatch, capsys):
    """Return a function that runs the tool in this process and gives its output and its file."""

    def run(*options, source='LevirCC_00000010.pth', words='word_encoding.json'):
        tool = load_tool('model_converters/kdrscc_to_rscc.py')
        given = [files / source, files / 'new.pth', '--config', files / 'config.py', '--words',
                 files / words, '--num-heads', 2, *options]
        monkeypatch.setattr(sys, 'argv', ['kdrscc_to_rscc.py', *map(str, given)])
        tool.main()
        return capsys.readouterr().out, files / 'new.pth'

    return run


def state_of(path):
    return torch.load(path, weights_only=True)['state_dict']


def test_the_averaged_weights_are_taken_and_the_sizes_from_the_tensors(files, convert):
    done, out = convert()
    assert f'python tools/test.py {out.with_suffix(".py")} {out}' in done
    assert ' 0 missing, 0 unexpected, 0 of another shape' in done
    averaged = kd_rscc(len(ENTRIES), seed=2)
    assert torch.equal(state_of(out)['caption_head.space.table'],
                       averaged['word_embedding.weight'])
    assert torch.equal(state_of(out)['encoder.backbone.layer3.1.conv2.weight'],
                       averaged['img_embedding.net.6.1.conv2.weight'])
    head = Config.fromfile(out.with_suffix('.py')).model.caption_head
    assert head.memory_channels == 16 and head.denoiser.num_layers == 2
    assert head.denoiser.num_heads == 2 and head.denoiser.hidden_dims == 16


def test_the_trained_weights_are_taken_on_request(convert):
    _, out = convert('--live')
    assert torch.equal(state_of(out)['caption_head.space.table'],
                       kd_rscc(len(ENTRIES), seed=1)['word_embedding.weight'])


def test_the_slim_file_holds_the_same_in_half_precision(convert):
    _, out = convert()
    whole = state_of(out)
    _, out = convert(source='slim.safetensors')
    slim = state_of(out)
    assert whole.keys() == slim.keys()
    for name, value in whole.items():
        assert slim[name].dtype == value.dtype
        torch.testing.assert_close(slim[name], value, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize('words, options', [('word_encoding.json', ()),
                                            ('vocab.json', ('--max-tokens', 7))])
def test_what_was_converted_answers_without_the_vocabulary(files, convert, words, options):
    _, out = convert(*options, words=words)
    assert state_of(out)['caption_head.caption_length'] == 9
    (files / words).unlink()
    inferencer = ChangeInferencer(None, out, device='cpu')
    draw = np.random.default_rng(0)
    frames = [draw.integers(256, size=(64, 64, 3), dtype=np.uint8) for _ in range(2)]
    (result,) = inferencer([frames[0]], [frames[1]])
    caption = result.captions[0]
    assert inferencer.model.caption_head.length == 9
    assert set(caption.text.split()) <= set(WORDS)
    assert caption.agreement == 1 and caption.score < 0


@pytest.mark.parametrize('options, words, message', [
    ((), 'short.json', r"short.json' has 7 words and the model 10: it is the vocabulary of other"),
    ((), 'vocab.json', 'does not tell the length of captions: add --max-tokens N'),
    ((), 'gone.json', "vocabulary not found at '.*gone.json'"),
    (('--max-tokens', 30), 'vocab.json', 'captions of up to 32 ids and a denoiser with positions '
     'for 12'),
    (('--num-heads', 3), 'word_encoding.json', '3 attention heads do not divide a width of 16'),
    (('--cfg-options', 'model.encoder.backbone.depth=34'), 'word_encoding.json',
     r"does not fit the model of '.*config.py': .* missing(.|\n)*Nothing was written")])
def test_what_does_not_fit_is_told_and_nothing_is_written(files, convert, options, words, message):
    (files / 'short.json').write_text(json.dumps(['x', 'y', 'z']))
    with pytest.raises(SystemExit, match=f'error: (.|\n)*{message}'):
        convert(*options, words=words)
    assert not (files / 'new.pth').exists() and not (files / 'new.py').exists()


@pytest.mark.parametrize('stored, message', [
    (dict(model={}, step=1), r"the training file has no 'model_ema', only \['model', 'step'\]: "
     'take the trained weights with --live'),
    (dict(a=torch.zeros(1)), "no KD-RSCC weights: 1 tensors without 'word_embedding.weight'"),
    ({'time_embed.0.weight': torch.zeros(1)}, 'these are weights of Diffusion-RSCC')])
def test_other_files_are_told(files, convert, stored, message):
    torch.save(stored, files / 'other.pth')
    with pytest.raises(SystemExit, match=f'error: {message}'):
        convert(source='other.pth')


def test_an_absent_or_broken_file_is_told(files, convert):
    with pytest.raises(SystemExit, match=r"no checkpoint at .*mean 'LevirCC_00000010\.pth'"):
        convert(source='LevirCC_00000100.pth')
    (files / 'cut.safetensors').write_bytes((files / 'slim.safetensors').read_bytes()[:300])
    with pytest.raises(SystemExit, match=r"cut\.safetensors' is damaged or cut short"):
        convert(source='cut.safetensors')
