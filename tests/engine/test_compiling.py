"""``compile`` of a config: equal answers on the routes, parts alone, refusals."""
import copy
import shutil

import numpy as np
import pytest
import tiny_models as tiny
import torch

from rscc.apis import ChangeInferencer
from rscc.engine.compiling import compile_parts
from rscc.registry import MODELS

#: Takes the model apart as for the compiler, and runs what torch itself would run.
EAGER = dict(backend='eager')
#: Gradients of narrower strided convolutions fail in torch 2.13 on CPUs with AVX2 alone.
WIDER = dict(
    tiny.JOINT, caption_head=None, flag_head=None,
    encoder=dict(tiny.BACKBONE, out_channels=32, embed_dims=32,
                 backbone=dict(tiny.RESNET, base_channels=8, stem_channels=8)),
    fusion=dict(tiny.FUSION, channels='auto'),
    change_head=dict(tiny.FPN, in_channels='auto', channels=8))


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    torch.compiler.reset()


@pytest.fixture
def pair():
    return np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)


def built(model):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(dict(
        dict(data_preprocessor=dict(type='ChangeDataPreprocessor')), **model))).eval()


@pytest.fixture
def graphs(monkeypatch):
    """Count the graphs that the compiler is given."""
    count = []

    def backend(graph, inputs):
        count.append(graph)
        return graph.forward
    return count, dict(backend=backend)


@pytest.mark.parametrize('model,parts', [(tiny.JOINT, 2), (tiny.CHANGECLIP, 3)],
                         ids=['joint', 'changeclip'])
def test_answers_are_those_of_the_model_as_it_is(model, parts, pair, tmp_path, graphs):
    checkpoint = tiny.save(tmp_path / 'model.pth', model, classes=('unchanged', 'house', 'road'))
    plain = ChangeInferencer(checkpoint, device='cpu')(*pair, probabilities=True)
    count, options = graphs
    inferencer = ChangeInferencer(checkpoint, device='cpu', cfg_options=dict(compile=options))
    answer = inferencer(*pair, probabilities=True)
    assert len(count) >= parts, 'encoder and fusion, and a head of ours'
    np.testing.assert_allclose(answer.probabilities, plain.probabilities, atol=1e-5)
    assert answer.caption == plain.caption


@pytest.mark.skipif(shutil.which('g++') is None, reason='needs a C++ compiler')
def test_the_real_compiler_gives_the_same_map(pair, tmp_path, monkeypatch):
    monkeypatch.delenv('CXX', raising=False)
    checkpoint = tiny.save(tmp_path / 'model.pth', dict(tiny.JOINT, caption_head=None,
                                                        flag_head=None))
    plain = ChangeInferencer(checkpoint, device='cpu')(*pair, probabilities=True)
    compiled = ChangeInferencer(checkpoint, device='cpu', cfg_options=dict(compile=True))
    np.testing.assert_allclose(compiled(*pair, probabilities=True).probabilities,
                               plain.probabilities, atol=1e-4)


def test_weights_keep_their_names():
    model = built(tiny.JOINT)
    names = list(model.state_dict())
    assert compile_parts(model, EAGER)
    assert list(model.state_dict()) == names
    assert not compile_parts(model, False) and not compile_parts(model, None)


def test_a_training_learns_the_same(pair):
    frames = [torch.from_numpy(pair).permute(0, 3, 1, 2)]
    weights = []
    for wish in (None, EAGER):
        model = built(WIDER).train()
        compile_parts(model, wish)
        sample = tiny_sample()
        data = model.data_preprocessor(dict(inputs=frames, data_samples=[sample]), True)
        losses = model(**data, mode='loss')
        sum(loss for name, loss in losses.items() if 'loss' in name).backward()
        weights.append(next(model.encoder.parameters()).grad)
    torch.testing.assert_close(*weights)


def tiny_sample():
    from mmengine.structures import PixelData

    from rscc.structures import ChangeDataSample
    sample = ChangeDataSample(metainfo=dict(sample_id='a', img_shape=(64, 64), ori_shape=(64, 64)))
    sample.gt_sem_seg = PixelData(data=torch.ones(1, 64, 64, dtype=torch.long))
    sample.gt_change_flag = True
    return sample


def test_a_run_compiles_what_its_config_says(build, monkeypatch):
    asked = []
    monkeypatch.setattr('rscc.engine.runner.compile_parts',
                        lambda model, wish, device: asked.append(wish) or True)
    build(compile=EAGER).train()
    build().test()
    assert asked == [EAGER, None]


@pytest.mark.parametrize('wish,error,words', [
    (3, TypeError, 'compile is True, False, or arguments of torch.compile as a dict, found 3'),
    (dict(bakend='eager'), TypeError, 'bakend.*backend'),
    (dict(backend='inducter'), ValueError, "no backend 'inducter'.*inductor"),
])
def test_wrong_wishes_are_refused(wish, error, words):
    with pytest.raises(error, match=words):
        compile_parts(built(tiny.JOINT), wish)


def test_a_missing_compiler_is_told_before_the_first_batch(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(FileNotFoundError, match="no 'no-such-compiler': install one"):
        compile_parts(built(tiny.JOINT), True)
