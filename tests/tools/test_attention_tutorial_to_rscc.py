"""Checkpoints of the attention tutorial, converted as a user calls the tool."""
import json
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from recordings import recording, tensors
from torch import nn

from rscc.apis.inferencer import ChangeInferencer
from rscc.importers.clip_gpt import DECODER
from rscc.models.encoders.base import build_encoder
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures

RESNET = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4)
CONFIG = """
pipeline = [dict(type='LoadFrames'), dict(type='FramesResize', size=32),
            dict(type='PackChangeInputs')]
model = dict(
    type='ChangeInterpreter',
    encoder=dict(
        type='BackboneEncoder', pool_tokens=3, {project}
        backbone=dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4, {init})),
    fusion=dict(type='SingleFrame'),
    caption_head=dict(type='AttentionLSTMHead', memory_channels=2048,
                      tokenizer=dict(type='WordTokenizer', vocab_file='none.json')))
test_dataloader = dict(dataset=dict(
    type='UCMCaptionsDataset', data_root='nowhere', split='test', pipeline=pipeline))
"""


@pytest.fixture
def call(load_tool, monkeypatch, capsys, tmp_path):
    """Return a function that converts in this process and gives what it prints."""
    tool = load_tool('model_converters/attention_tutorial_to_rscc.py')

    def run(*options):
        monkeypatch.setattr(sys, 'argv', [
            'tool.py', *(str(tmp_path / name) for name in ('original.pth.tar', 'new/out.pth')),
            '--config', str(tmp_path / 'config.py'), '--words', str(tmp_path / 'WORDMAP.json'),
            *map(str, options)])
        tool.main()
        return capsys.readouterr().out

    return run


def write_words(folder, size):
    """Write a word map as the tutorial does: padding, words, the other specials."""
    words = ['<pad>', *(f'w{i}' for i in range(1, size - 3)), '<unk>', '<start>', '<end>']
    (folder / 'WORDMAP.json').write_text(json.dumps({word: i for i, word in enumerate(words)}))
    return words


def write_config(folder, init='', project=''):
    (folder / 'config.py').write_text(CONFIG.format(init=init, project=project))


class Encoder(nn.Module):
    """The tutorial's: a ResNet as a sequence of its children."""

    def __init__(self):
        super().__init__()
        net = build_encoder(dict(RESNET)).backbone
        self.resnet = nn.Sequential(net.conv1, net.bn1, nn.ReLU(), nn.MaxPool2d(3), net.layer1,
                                    net.layer2, net.layer3, net.layer4)


class Decoder(nn.Module):
    """The tutorial's modules by name; what they compute is tested against its recordings."""

    def __init__(self, words=12, memory=32, width=6):
        super().__init__()
        head = MODELS.build(dict(
            type='AttentionLSTMHead', memory_channels=memory, embed_dims=width, hidden_dims=width,
            attention_dims=width, tokenizer=dict(type='WordTokenizer', words=list('abcdefgh'))))
        assert head.tokenizer.vocab_size == words
        self.attention = nn.Module()
        for theirs, ours in DECODER.items():
            holder, name = ((self.attention, theirs.split('.')[1]) if '.' in theirs
                            else (self, theirs))
            setattr(holder, name, head.get_submodule(ours))


def save_tutorial(folder, **parts):
    torch.manual_seed(0)
    decoder = Decoder()
    optimizer = torch.optim.Adam(decoder.parameters())
    torch.save(dict(epoch=7, decoder=decoder, decoder_optimizer=optimizer, encoder_optimizer=None,
                    **{'bleu-4': 0.3}, **parts), folder / 'original.pth.tar')
    write_words(folder, 12)
    return decoder


def test_a_training_file_of_whole_modules_is_converted(tmp_path, call):
    encoder = Encoder()
    decoder = save_tutorial(tmp_path, encoder=encoder)
    write_config(tmp_path)
    done, out = call(), tmp_path / 'new/out.pth'
    assert '0 missing, 0 unexpected, 0 of another shape' in done
    assert f'python tools/test.py {out.with_suffix(".py")} {out}' in done
    weights = torch.load(out, weights_only=True)['state_dict']
    assert torch.equal(weights['caption_head.decoder.gate.bias'], decoder.f_beta.bias)
    assert torch.equal(weights['encoder.backbone.layer4.1.conv2.weight'],
                       encoder.resnet[7][1].conv2.weight)
    cfg = Config.fromfile(out.with_suffix('.py'))
    assert cfg.test_dataloader.dataset.pipeline[1].size == 256
    assert cfg.model.caption_head.decoding.beam_rule == 'show_attend_tell'
    (tmp_path / 'WORDMAP.json').unlink()
    image = np.zeros((256, 256, 3), np.uint8)
    caption = ChangeInferencer(None, out, device='cpu')(image, num_beams=3).captions[0]
    assert all(word.startswith('w') for word in caption.text.split())


def test_the_recorded_decoder_writes_its_words_over_a_published_encoder(tmp_path, call):
    recorded = tensors(recording('clip_gpt/attention_decoder.npz'))
    state = {key.removeprefix('state/'): value for key, value in recorded.items()
             if key.startswith('state/')}
    torch.save(state, tmp_path / 'original.pth.tar')
    words = write_words(tmp_path, len(state['embedding.weight']))
    specials = [words.index(name) for name in ('<pad>', '<start>', '<end>')]
    if specials != [0, int(recorded['cfg/start']), int(recorded['cfg/end'])]:
        pytest.skip('recorded with other special ids than the tutorial has')
    published = build_encoder(dict(RESNET)).backbone
    torch.save(published.state_dict(), tmp_path / 'resnet.pth')
    channels = state['init_h.weight'].shape[1]
    write_config(tmp_path, f'init_cfg=dict(type="Pretrained", checkpoint="{tmp_path}/resnet.pth")',
                 f'out_channels=32, embed_dims={channels},')
    call('--size', 64)
    out = tmp_path / 'new/out.pth'
    cfg, weights = Config.fromfile(out.with_suffix('.py')), torch.load(out, weights_only=True)
    assert cfg.test_dataloader.dataset.pipeline[1].size == 64
    assert torch.equal(weights['state_dict']['encoder.backbone.conv1.weight'],
                       published.conv1.weight)
    model = MODELS.build(cfg.model)
    model.load_state_dict(weights['state_dict'])
    written = model.eval().caption_head.generate(
        ChangeFeatures(tokens=recorded['in/encoder_out'].flatten(1, 2)), num_beams=3)
    for (best, *_), ids in zip(written, recorded['out/beam3'].long(), strict=True):
        assert best.text == ' '.join(words[i] for i in ids[ids >= 0] if i not in specials)


def test_a_decoder_alone_needs_an_encoder_with_published_weights(tmp_path, call):
    save_tutorial(tmp_path)
    write_config(tmp_path)
    with pytest.raises(SystemExit, match=r"holds no encoder, and 'model.encoder' of .* random"):
        call()
    assert not (tmp_path / 'new').exists()


def test_the_words_of_other_data_are_refused(tmp_path, call):
    save_tutorial(tmp_path, encoder=Encoder())
    write_config(tmp_path)
    write_words(tmp_path, 15)
    with pytest.raises(SystemExit, match=r"WORDMAP.json' has 15 words and the decoder 12: it is "
                       'the word map of other data'):
        call()


def test_another_file_is_told(tmp_path, call):
    torch.save(dict(epoch=1), tmp_path / 'original.pth.tar')
    with pytest.raises(SystemExit, match=r"error: 'epoch' .* is no tensor of the tutorial's"):
        call()
