"""The denoiser, its loss and its sampling against recorded numbers of the original KD-RSCC.

Densities, samplers and schedules: test_kd_rscc_math.py; captions: test_kd_rscc_captions.py.
"""
import json

import pytest
import torch
from recordings import assert_recorded, doubles, recorded_names, recording
from rounding import FORMULA, assert_within, gradients_and_errors, products_of, rounding
from torch import nn

from rscc import compat
from rscc.importers.kd_rscc import read_shape, rename, rename_kd_rscc
from rscc.models.diffusion.preconditioning import precondition
from rscc.models.diffusion.samplers import choose
from rscc.registry import MODELS, SAMPLERS
from rscc.structures import ChangeDataSample

MODULES = {  # recorded activation -> module of ours with the same output
    'time_emb': 'level_features', 'time_in_proj': 'level_in', 'input_up_proj': 'words_in',
    'attention.wq': 'alignment.attention.query', 'attention.wk': 'alignment.attention.key',
    'attention.wv': 'alignment.attention.value',
    'attention.reversion': 'alignment.attention.project', 'attention': 'alignment',
    'LayerNorm': 'norm', 'output_down_proj': 'words_out'}


class RecordedBackbone(nn.Module):
    """The stand-in for ResNet-101 that was recorded: one basic block a stage."""

    def __init__(self, widths):
        super().__init__()
        compat.import_mmseg_models()
        from mmseg.models.backbones.resnet import BasicBlock
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        for stage, (entering, width) in enumerate(zip([widths[0], *widths], widths, strict=False)):
            stride = 1 if stage == 0 else 2
            down = None if entering == width else nn.Sequential(
                nn.Conv2d(entering, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            self.add_module(f'layer{stage + 1}',
                            nn.Sequential(BasicBlock(entering, width, stride, downsample=down)))

    def forward(self, images):
        stem = nn.functional.max_pool2d(self.bn1(self.conv1(images)).relu(), 3, 2, 1)
        return [self.layer3(self.layer2(self.layer1(stem)))]


@pytest.fixture(scope='module')
def meta():
    return json.loads(recording('kd_rscc/meta.json').read_text())


@pytest.fixture(scope='module')
def recorded():
    return doubles(recording('kd_rscc/denoiser_tiny.npz'))


@pytest.fixture(scope='module')
def state(recorded):
    return {name.removeprefix('sd/'): value for name, value in recorded.items()
            if name.startswith('sd/')}


@pytest.fixture(scope='module')
def close(recorded, state):
    """Return how to compare with an array after ``calls`` of the network in a row."""
    def compare(ours, name, calls=1):
        assert_recorded(ours, recorded, name, rounding(calls * products_of(state)))

    return compare


@pytest.fixture
def model(meta, state, recorded, monkeypatch):
    setting = meta['setting']
    monkeypatch.setitem(MODELS.module_dict, 'RecordedBackbone', RecordedBackbone)
    widths = [len(state[f'img_embedding.net.{stage}.0.conv1.weight']) for stage in (4, 5, 6)]
    words = ['<pad>', '<unk>', '<start>', '<end>', *map(str, range(4, setting['V']))]
    fixed = [rf'^{rename(name)}$' for name in meta['params_without_grad']]
    built = MODELS.build(dict(
        type='ChangeInterpreter',
        data_preprocessor=dict(type='ChangeDataPreprocessor', mean=(0.485, 0.456, 0.406),
                               std=(0.229, 0.224, 0.224)),
        encoder=dict(type='BackboneEncoder', pool_tokens=14,
                     backbone=dict(type='RecordedBackbone', widths=widths)),
        fusion=dict(type='SignedDifference'),
        caption_head=dict(
            type='KarrasCaptionHead', tokenizer=dict(type='WordTokenizer', words=words),
            max_tokens=recorded['ids'].shape[1] - 2, sigma_data=setting['sigma_data'],
            **read_shape(state, setting['heads']).head),
        freeze=fixed))
    missing, unexpected = built.load_state_dict(rename_kd_rscc(state), strict=False)
    assert (missing, unexpected) == (['caption_head.vocabulary', 'caption_head.caption_length'], [])
    return built.eval()


@pytest.fixture
def images(model, recorded):
    pairs = [torch.stack([before, after]) for before, after in
             zip(recorded['image_before'], recorded['image_after'], strict=True)]
    samples = [ChangeDataSample() for _ in pairs]
    data = model.data_preprocessor(dict(inputs=pairs, data_samples=samples))
    return data['inputs']


@pytest.fixture
def features(model, images):
    return model.extract(images)


def test_the_sizes_are_read_from_the_tensors(meta, state):
    setting, shape = meta['setting'], read_shape(state, meta['setting']['heads'])
    assert shape.vocab_size == setting['V']
    assert shape.head['embed_channels'] == setting['C']
    assert shape.head['memory_channels'] == setting['img_dim']
    assert {name: shape.head['denoiser'][name] for name in (
        'hidden_dims', 'feedforward_dims', 'max_positions', 'alignment_dims',
        'alignment_feedforward')} == dict(
            hidden_dims=setting['H'], feedforward_dims=setting['inter'],
            max_positions=setting['maxpos'], alignment_dims=setting['attn_hidden'],
            alignment_feedforward=setting['attn_ff'])


def test_every_tensor_of_the_full_size_model_has_a_place(monkeypatch):
    shapes = recording('kd_rscc/full_state_dict_shapes.json')
    original = {name: torch.zeros(shape) if shape else torch.tensor(0)
                for name, shape in json.loads(shapes.read_text()).items()}
    shape = read_shape(original)
    words = ['<pad>', '<unk>', '<start>', '<end>', *map(str, range(4, shape.vocab_size))]
    monkeypatch.setenv('RSCC_RESNET101', 'nothing is read')
    from mmengine.config import Config
    config = Config.fromfile('configs/kdrscc_levircc.py').model.to_dict()
    config['encoder']['backbone'].pop('init_cfg')
    config['caption_head'] |= shape.head | dict(
        tokenizer=dict(type='WordTokenizer', words=words), max_tokens=42)
    with torch.device('meta'):
        model = MODELS.build(config)
    ours = {name: tensor.shape for name, tensor in model.state_dict().items()
            if name not in ('caption_head.vocabulary', 'caption_head.caption_length')}
    renamed = {name: tensor.shape for name, tensor in rename_kd_rscc(original).items()}
    assert renamed == ours


def test_image_features_and_their_difference(recorded, features, close):
    close(features.tokens.flatten(0, -3), 'cond')
    close(recorded['feat_before'] - recorded['feat_after'], 'cond')


def test_the_network_and_what_it_computes_on_the_way(model, recorded, close):
    denoiser, seen = model.caption_head.denoiser, {}
    modules = {there: denoiser.get_submodule(here) for there, here in MODULES.items()}
    modules |= {f'input_transformers.layer.{i}': layer for i, layer in enumerate(denoiser.layers)}
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _, __, output, name=name: seen.__setitem__(name, output))
    level = precondition(recorded['sigma'], 1.0).c_noise
    found = denoiser(recorded['raw_x'], level, denoiser.remember(recorded['cond']))
    close(found, 'raw_F')
    names = {name for name in recorded_names(recorded) if name.startswith('act/')}
    assert names == {f'act/{name}' for name in modules}
    for name in sorted(modules):
        close(seen[name], f'act/{name}')


def swap_dates(model, images):
    return images.flip(1)


def enlarge_eps(model, images):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps *= 100
    return images


def drop_a_bias(model, images):
    nn.init.zeros_(model.encoder.backbone.bn1.bias)
    return images


@pytest.mark.parametrize('fault', [swap_dates, enlarge_eps, drop_a_bias])
def test_a_fault_in_the_images_is_seen(model, images, close, fault):
    images = fault(model, images)
    with pytest.raises(AssertionError, match='cond'):
        close(model.extract(images).tokens.flatten(0, -3), 'cond')


@pytest.mark.parametrize('part', ['level_in.weight', 'words_in.0.bias', 'positions.weight',
                                  'alignment.attention.value.bias', 'words_out.2.bias'])
def test_a_part_left_out_of_the_network_is_seen(model, recorded, close, part):
    denoiser = model.caption_head.denoiser
    nn.init.zeros_(denoiser.get_parameter(part))
    level = precondition(recorded['sigma'], 1.0).c_noise
    with pytest.raises(AssertionError, match='raw_F'):
        close(denoiser(recorded['raw_x'], level, denoiser.remember(recorded['cond'])), 'raw_F')


def test_estimate_and_rounding(model, recorded, close):
    head = model.caption_head
    assert_within(head.space.embed(recorded['ids']), recorded['x0'], FORMULA)
    noisy = recorded['x0'] + recorded['sigma'][:, None, None] * recorded['noise']
    assert_within(noisy, recorded['x_noised'], FORMULA)
    estimates = torch.cat([
        head.estimator(recorded['cond'][row:row + 1], head.decoding)(noisy[row:row + 1], sigma)
        for row, sigma in enumerate(recorded['sigma'])])
    close(estimates, 'D')
    close(head.space.logits(estimates), 'logits_of_D')
    close(head.space.logits(noisy), 'logits_of_x_noised')


def test_loss_and_gradients_from_images_and_words(model, meta, recorded, images, close):
    head, ids, sigma = model.caption_head, recorded['ids'], recorded['sigma']

    def errors_of():
        return head.errors(ids, sigma, recorded['noise'], model.extract(images).tokens)

    def loss():
        errors = errors_of()
        return (errors['loss_diffusion'] + errors['loss_rounding']).mean()

    errors, weight = errors_of(), head.terms.weighting(sigma, meta['setting']['sigma_data'])
    assert_within(weight, recorded['loss_weight'], FORMULA)
    close(errors['loss_diffusion'] / weight, 'loss_mse')
    close(errors['loss_rounding'] / weight, 'loss_nll')
    close(errors['loss_diffusion'] + errors['loss_rounding'], 'loss')
    ours, errors = gradients_and_errors(model, loss)
    frozen = {rename(name) for name in meta['params_without_grad']}
    assert {name for name, _ in model.named_parameters()} - set(ours) == frozen
    theirs = {name.removeprefix('grad/'): value for name, value in recorded.items()
              if name.startswith('grad/')}
    theirs.pop('lm_head.weight', None)  # the word table under its other name
    renamed = rename_kd_rscc(theirs)
    assert renamed
    for name, gradient in renamed.items():
        assert float((ours[name] - gradient).norm()) < errors[name], name


def test_sampling_with_the_published_solver(model, recorded, close):
    head, trace = model.caption_head, []
    estimator = head.estimator(recorded['cond'], head.decoding)
    sampler = choose(SAMPLERS, dict(type='dpmpp_2m_sde', eta=0.0, variant='heun'))
    with torch.no_grad():
        final = sampler(estimator, recorded['xT'], recorded['sample_sigmas'],
                        callback=lambda step, sigma, estimate: trace.append(estimate))
        logits = head.space.logits(final)
    calls = len(trace)
    close(torch.stack(trace), 'sample_denoised_trace', calls)
    close(final, 'sample_x0', calls)
    close(logits, 'sample_logits', calls)
    assert torch.equal(logits.argmax(-1), recorded['sample_tokens'])
