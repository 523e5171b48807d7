"""The same work of rscc and of its peers, with narrow models."""
import pytest

from tools.benchmark import fakes, peers
from tools.benchmark.peers import Peer, benchmark_peers

CLIP = {'encoder.width': 32, 'encoder.layers': 1, 'encoder.heads': 2, 'encoder.output_dim': 16,
        'encoder.input_resolution': 32, 'encoder.patch_size': 16,
        'caption_head.memory_channels': 16, 'caption_head.prefix_length': 3}


def test_every_peer_answers_as_we_do(cells, monkeypatch):
    monkeypatch.setattr(peers, 'PICTURES', 2)
    section = benchmark_peers(['scores', 'images'], rounds=2, pairs=12)
    assert cells(section, 'package') == ['pycocoevalcap', 'OpenCV']
    for ratio in cells(section, 'CPU time, ratio') + cells(section, 'wall time, ratio'):
        middle, low, high = map(float, ratio.replace('(', '').replace(')', '').replace(
            '–', ' ').split())
        assert 0 < low <= middle <= high


def test_an_encoder_of_timm_gives_the_same_maps_alone(cells):
    section = benchmark_peers(['encoder'], rounds=1, model='test_efficientnet')
    assert cells(section, 'package') == ['timm']


def test_beam_search_writes_what_transformers_writes(cells, narrow, repo, monkeypatch):
    monkeypatch.setattr(fakes, 'BERT_PIECES', 300)
    monkeypatch.setattr(peers, 'BLIP', str(repo / 'configs/blip_levircc.py'))
    section = benchmark_peers(['blip'], rounds=1, tokens=4, batch_size=2, size=64,
                              cfg_options=narrow)
    assert cells(section, 'work') == ['BLIP-base, beam 3, 4 tokens, 1 pairs',
                                      'BLIP-base, beam 3, 4 tokens, 2 pairs']


def test_a_prefix_is_continued_as_transformers_does(cells, repo, monkeypatch):
    monkeypatch.setattr(fakes, 'BERT_PIECES', 300)
    monkeypatch.setattr(fakes, 'FAKES', dict(language_model=dict(
        n_layer=1, n_embd=16, n_head=2, n_positions=80, initializer_range=0.4)))
    monkeypatch.setattr(peers, 'CLIPGPT', str(repo / 'configs/clipgpt_mlp_ucm.py'))
    section = benchmark_peers(['prefix'], rounds=1, tokens=4, batch_size=1, size=32,
                              cfg_options={f'model.{key}': value for key, value in CLIP.items()})
    assert cells(section, 'package') == ['transformers']


def test_different_answers_end_the_benchmark_and_names_are_checked(monkeypatch):
    other = Peer(('adding', '加法'), 'numpy', lambda: 1, lambda: 2, lambda one, two: one == two)
    monkeypatch.setitem(peers.PEERS, 'images', lambda **_: [other])
    with pytest.raises(ValueError, match='rscc and numpy answer differently: adding'):
        benchmark_peers(['images'])
    with pytest.raises(ValueError, match=r"peer='image' is unknown.*Did you mean 'images'"):
        benchmark_peers(['image'])
