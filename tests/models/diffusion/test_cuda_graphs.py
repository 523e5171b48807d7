"""Recordings by shape and place; a stand-in replays on the CPU what a GPU would."""
import copy
import pickle

import pytest
import torch
from torch import nn

from rscc.models.diffusion import cuda_graphs
from rscc.models.diffusion.cuda_graphs import CudaGraphs
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures

WORDS = ['<pad>', '<unk>', '<start>', '<end>', 'a', 'road', 'house', 'appears']


def head(**denoiser):
    torch.manual_seed(0)
    return MODELS.build(dict(
        type='KarrasCaptionHead', memory_channels=8, embed_channels=4, max_tokens=4,
        tokenizer=dict(type='WordTokenizer', words=WORDS), condition_dropout=0.1,
        denoiser=dict(hidden_dims=8, num_layers=1, num_heads=2, feedforward_dims=16,
                      max_positions=6, alignment='every_layer', alignment_heads=2,
                      alignment_dims=8, **denoiser))).eval()


def features(count=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return ChangeFeatures(tokens=torch.randn(count, 5, 8, generator=draw))


class Recorder:
    """Replays by calling again: it reads and writes the very tensors that a graph would."""

    def __init__(self):
        self.recorded = self.replayed = 0
        self.casts_kept = []

    def __call__(self, call):
        self.recorded += 1
        self.casts_kept.append(torch.is_autocast_cache_enabled())
        result = call()

        def replay():
            self.replayed += 1
            result.copy_(call())

        return replay, result


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def graphs(recorder):
    return CudaGraphs(recorder, 'cpu')


def scale(fixed, words, previous=None):
    return words * fixed[0][0] + (0 if previous is None else previous)


@torch.no_grad()
def test_a_call_is_recorded_once_a_shape_and_its_results_stay(graphs, recorder):
    call = graphs.of(scale, [])
    first, fixed = torch.ones(3), [(torch.full((3,), 2.0),)]
    results = [call(fixed, first), call(fixed, 2 * first), call([(5 * first,)], first)]
    assert [result[0].item() for result in results] == [2, 4, 5]
    assert (recorder.recorded, recorder.replayed) == (1, 3)
    assert call(fixed, first, torch.tensor([7.0, 7, 7]))[0] == 9
    assert call([(torch.full((2,), 3.0),)], torch.ones(2))[1] == 3
    assert recorder.recorded == 3
    assert torch.equal(first, torch.ones(3)), 'what is given is left as it is'


@torch.no_grad()
def test_weights_are_read_where_they_lie_and_found_when_they_move(graphs, recorder):
    layer = nn.Linear(2, 2, bias=False)
    given = torch.ones(1, 2)

    def call():
        return graphs.of(lambda fixed, words: layer(words), layer.parameters())([], given)

    assert torch.equal(call(), layer(given))
    layer.weight.add_(1)
    assert torch.equal(call(), layer(given)) and recorder.recorded == 1
    layer.weight.data = torch.zeros(2, 2)
    assert torch.equal(call(), torch.zeros(1, 2)) and recorder.recorded == 2


def test_few_recordings_are_kept_and_a_copy_has_none(graphs, recorder):
    call = graphs.of(scale, [])
    with torch.no_grad():
        for count in range(1, 8):
            call([(torch.ones(count),)], torch.ones(count))
        assert len(graphs._recordings) == cuda_graphs._MOST
        call([(torch.ones(7),)], torch.ones(7))
        assert recorder.recorded == 7
        call([(torch.ones(1),)], torch.ones(1))
        assert recorder.recorded == 8
    assert not copy.deepcopy(graphs)._recordings
    assert not pickle.loads(pickle.dumps(CudaGraphs()))._recordings


def test_gradients_and_other_devices_run_the_function_itself(graphs, recorder):
    given = torch.ones(2, requires_grad=True)
    graphs.of(scale, [])([(torch.full((2,), 3.0),)], given).sum().backward()
    assert torch.equal(given.grad, torch.full((2,), 3.0)) and not recorder.recorded
    with torch.no_grad():
        elsewhere = CudaGraphs(recorder).of(scale, [])
        assert elsewhere([(torch.ones(2),)], torch.ones(2)).sum() == 2
    assert not recorder.recorded


def test_precisions_are_recorded_apart_and_cast_their_weights_anew(graphs, recorder):
    layer = nn.Linear(4, 4)
    call = graphs.of(lambda fixed, words: layer(words), layer.parameters())
    with torch.no_grad():
        full = call([], torch.ones(1, 4))
        with torch.autocast('cpu', torch.bfloat16):
            assert call([], torch.ones(1, 4)).dtype == torch.bfloat16
            assert torch.is_autocast_cache_enabled()
        assert full.dtype == torch.float32 and recorder.recorded == 2
    assert recorder.casts_kept == [False, False]


def test_a_recording_of_inference_mode_serves_outside_of_it(graphs, recorder):
    call = graphs.of(scale, [])
    with torch.inference_mode():
        call([(torch.ones(2),)], torch.ones(2))
    with torch.no_grad():
        assert call([(torch.full((2,), 4.0),)], torch.ones(2)).sum() == 8
    assert recorder.recorded == 1


@pytest.mark.parametrize('denoiser', [{}, dict(self_conditioning=True)])
@pytest.mark.parametrize('options', [{}, dict(guidance=2.0, num_samples=2), dict(clamp=1.0),
                                     dict(use_cache=False, sampler='heun')])
def test_captions_are_those_without_graphs(graphs, recorder, denoiser, options):
    captioner = head(**denoiser)
    captioner._graphs = graphs
    for seed in (0, 1):  # other images in the same recording
        given = features(seed=seed)
        plain = captioner.generate(given, steps=5, **options)
        assert captioner.generate(given, steps=5, cuda_graphs=True, **options) == plain
    # Without an earlier estimate, and with one.
    assert recorder.recorded == (2 if denoiser else 1)
    assert recorder.replayed >= 10


def test_without_a_gpu_the_option_changes_nothing():
    captioner = head()
    plain = captioner.generate(features(), steps=3)
    assert captioner.generate(features(), steps=3, cuda_graphs=True) == plain
    assert not captioner._graphs._recordings


@pytest.mark.gpu
@pytest.mark.parametrize('precision', [torch.float32, torch.bfloat16])
def test_a_gpu_replays_the_same_captions(precision):
    captioner, given = head(self_conditioning=True).cuda(), features()
    given = ChangeFeatures(tokens=given.tokens.cuda())
    with torch.autocast('cuda', precision, enabled=precision != torch.float32):
        plain = captioner.generate(given, steps=6)
        replayed = [captioner.generate(given, steps=6, cuda_graphs=True) for _ in range(2)]
    assert replayed == [plain, plain] and len(captioner._graphs._recordings) == 2


@pytest.mark.gpu
def test_what_waits_for_values_is_refused_with_a_way_out():
    call = CudaGraphs().of(lambda fixed, words: words * float(words.sum()), [])
    with torch.no_grad(), pytest.raises(RuntimeError, match='set decoding cuda_graphs=False'):
        call([], torch.ones(2, device='cuda'))
