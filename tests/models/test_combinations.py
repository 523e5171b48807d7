"""Every encoder x fusion x heads: what the contracts allow learns and answers, the rest is refused.

A model in miniature is made of every encoder and every fusion. Heads are set up for the widths that
the fusion declares; each must then be built and learn, or be refused when built for the reason that
it declares.
"""
import copy

import pytest
import torch
from testers import WORDS, assert_gradient_reaches_everything, batch, data_samples, total

from rscc.models.change_heads.base import as_change_head
from rscc.models.contracts import FeatureSpec
from rscc.models.encoders.base import build_encoder
from rscc.registry import MODELS

LOSS = dict(type='CrossEntropyLoss')
RESNET = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4, norm_eval=False)
VIT = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
           image_size=64, patch_size=16)
CLIP_VIT = dict(type='CLIPViT', width=32, layers=4, heads=2, output_dim=16, input_resolution=64,
                out_indices=(0, 1, 2, 3), drop_path_rate=0.0)
ENCODERS = {
    'CLIPResNet': dict(type='CLIPResNet', layers=(1, 1, 1, 1), width=8, heads=4, output_dim=16,
                       input_resolution=64),
    'CLIPViT': CLIP_VIT,
    'CLIPViT, patches alone': CLIP_VIT | dict(layers=2, out_indices=(), pyramid=False),
    'BlipViT': dict(type='BlipViT', config=VIT),
    'BlipViT with maps': dict(type='BlipViT', config=VIT, out_layers=(1, 2)),
    'BackboneEncoder': dict(type='BackboneEncoder', backbone=RESNET, out_channels=32, embed_dims=16,
                            position=True),
    'UNetEncoder': dict(type='UNetEncoder', widths=(4, 8, 8), convs=(1, 1, 1)),
    'StoredFeatures': dict(type='StoredFeatures', channels=16),
}
FUSIONS = {
    'SingleFrame': dict(type='SingleFrame'),
    'ConcatFusion': dict(type='ConcatFusion', channels=16),
    'DifferenceFusion': dict(type='DifferenceFusion', channels=16, zero_init=False, position=True),
    'SignedDifference': dict(type='SignedDifference'),
    'MapFusion': dict(type='MapFusion'),
    'CrossGatedFusion': dict(type='CrossGatedFusion', channels=16, num_heads=2, num_layers=1),
    'RSICCformerFusion': dict(type='RSICCformerFusion', channels=16, dims=8, num_layers=1,
                              num_heads=2, grid=(2, 2)),
    'Chg2CapFusion': dict(type='Chg2CapFusion', channels=16, dims=12, attention_dims=8,
                          hidden_dims=8, num_layers=1, num_heads=2, grid=(2, 2)),
    'QueryResampler': dict(
        type='QueryResampler', channels=16, num_queries=3, num_heads=2, num_layers=1,
        fusion=dict(type='DifferenceFusion', channels=16, zero_init=False)),
    'LanguageGuidedFusion': dict(
        type='LanguageGuidedFusion', text_channels=16, channels=8, reduction=4, gamma=0.1,
        context_decoder=dict(width=8, heads=2, layers=1), prompt_encoder=dict(
            contexts=2, text_encoder=dict(type='CLIPTextEncoder', width=16, heads=2, layers=1,
                                          vocab_size=49408, embed_dim=16))),
}
WORDS_ONLY = dict(type='WordTokenizer', words=WORDS)
CHANGE_HEADS = ('FPNHead', 'SwinTextHead', 'UNetHead')
CAPTION_HEADS = ('BlipCaptionHead', 'AttentionLSTMHead', 'KarrasCaptionHead',
                 'PrefixGPTHead of pooled', 'PrefixGPTHead of tokens')


def fusion_for(name, given):
    """The config of a fusion for what an encoder gives."""
    cfg = copy.deepcopy(FUSIONS[name])
    if name == 'LanguageGuidedFusion':
        strides = given.strides or (16, )
        level = strides.index(given.token_stride) if given.token_stride in strides else 0
        cfg |= dict(in_channels=given.maps or (8, ), score_level=level)
    return cfg


def change_head_for(name, fused):
    maps, strides = fused.maps or (8, 8), fused.strides or (16, 16)
    if name == 'FPNHead':
        return dict(type='mmseg.FPNHead', in_channels=list(maps), in_index=list(range(len(maps))),
                    feature_strides=list(strides), channels=4, num_classes=3,
                    norm_cfg=dict(type='BN'), loss_decode=LOSS)
    if name == 'UNetHead':
        finer = len(maps) - 1
        return dict(type=name, in_channels=list(maps), channels=(4, ) * finer, convs=(2, ) * finer,
                    num_classes=3, loss_decode=LOSS)
    return dict(type='SwinTextHead', text_channels=fused.text or 16, in_channels=maps[0],
                channels=8, levels=len(maps), groups=2, rank=4, window=2, num_classes=3,
                loss_decode=LOSS)


def caption_head_for(name, fused):
    tokens = dict(memory_channels=fused.tokens, tokenizer=WORDS_ONLY)
    if name == 'BlipCaptionHead':
        return tokens | dict(type=name, max_tokens=6, config=dict(
            hidden_size=16, num_hidden_layers=1, intermediate_size=16, num_attention_heads=2,
            max_position_embeddings=16))
    if name == 'AttentionLSTMHead':
        return tokens | dict(type=name, embed_dims=8, hidden_dims=8, attention_dims=8)
    if name == 'KarrasCaptionHead':
        return tokens | dict(
            type=name, embed_channels=8, max_tokens=6, decoding=dict(steps=2),
            denoiser=dict(hidden_dims=8, num_layers=1, num_heads=2, feedforward_dims=8,
                          max_positions=16, alignment_heads=2, alignment_dims=8,
                          alignment_feedforward=8))
    source = name.split()[-1]
    return tokens | dict(
        type='PrefixGPTHead', source=source, memory_channels=getattr(fused, source),
        prefix_length=2, max_tokens=6, mapper=dict(type='TransformerMapper', num_layers=1,
                                                   num_heads=2),
        language_model=dict(config=dict(n_embd=8, n_layer=1, n_head=2, n_positions=32)))


@pytest.fixture(scope='module')
def given():
    """What every encoder declares to give."""
    return {name: build_encoder(copy.deepcopy(cfg)).gives() for name, cfg in ENCODERS.items()}


def build(encoder, fusion, **heads):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(dict(
        type='ChangeInterpreter', encoder=ENCODERS[encoder], fusion=fusion,
        data_preprocessor=dict(type='ChangeDataPreprocessor'), **heads)))


def data_for(encoder, steps):
    if encoder != 'StoredFeatures':
        return batch(2, (64, 64), steps)
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randn(steps, 1 + 9, 16, generator=draw) for _ in range(2)]
    return dict(inputs=rows, data_samples=data_samples(2))


def check(model, encoder, steps, pooled_captions):
    """One step of training and one prediction; exchanged dates give another answer."""
    prepared = model.data_preprocessor(data_for(encoder, steps), True)
    values = model(**prepared, mode='loss')
    assert all(value.isfinite() for value in values.values())
    # Date embeddings and the like reach the tokens alone, which such a head does not read.
    assert_gradient_reaches_everything(model, total(values), ('fusion.', ) * pooled_captions)
    model.eval()
    answers = model.test_step(data_for(encoder, steps))
    assert len(answers) == 2
    for answer in answers:
        assert (model.change_head is None) == ('pred_sem_seg' not in answer)
        assert (model.caption_head is None) == ('pred_caption' not in answer)
        assert (model.flag_head is None) == ('pred_change_flag' not in answer)
    if steps == 2:
        with torch.no_grad():
            plain = model(prepared['inputs'])
            swapped = model(prepared['inputs'].flip(1))
        assert any(not torch.allclose(plain[name], swapped[name], atol=1e-6) for name in plain)


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('encoder', ENCODERS)
def test_what_fits_learns_and_what_does_not_is_refused_when_built(encoder, fusion, given):
    cfg, flag = fusion_for(fusion, given[encoder]), dict(type='ChangeFlagHead', in_channels=16)
    part = MODELS.build(copy.deepcopy(cfg))
    misfit = part.misfit(given[encoder])
    if misfit:
        assert part.title in misfit and given[encoder].source in misfit
        with pytest.raises(ValueError) as refusal:
            build(encoder, cfg, flag_head=flag)
        assert str(refusal.value) == misfit
        return
    steps = max(part.time_steps)
    fused = part.gives(given[encoder], steps)
    fitting = [change_head(encoder, cfg, name, fused) for name in CHANGE_HEADS]
    change = next(filter(None, fitting), None)
    flag['in_channels'] = fused.pooled
    for name in CAPTION_HEADS:
        heads = dict(change_head=change, caption_head=caption_head_for(name, fused), flag_head=flag)
        check(build(encoder, cfg, **heads), encoder, steps, name.endswith('pooled'))
    for name, head in heads.items():
        refused_at_another_width(encoder, cfg, name, head, fused)


def change_head(encoder, fusion, name, fused):
    """Train a model of one change head; return its config, or None where it is rightly refused."""
    cfg = change_head_for(name, fused)
    head = as_change_head(MODELS.build(copy.deepcopy(cfg)))
    misfit = head.misfit(fused)
    if not misfit:
        # A flag head beside it reads the pooled vector, which some encoders compute apart.
        model = build(encoder, fusion, change_head=cfg)
        values = model(**model.data_preprocessor(data_for(encoder, fused.time_steps), True),
                       mode='loss')
        assert total(values).isfinite()
        assert_gradient_reaches_everything(model.change_head, total(values))
        return cfg
    assert head.title in misfit and fused.source in misfit
    with pytest.raises(ValueError) as refusal:
        build(encoder, fusion, change_head=cfg)
    assert str(refusal.value) == misfit
    return None


def refused_at_another_width(encoder, fusion, place, head, fused):
    """Set a head up for other features than there are; the refusal names parts and widths."""
    if head is None:
        return
    option = 'memory_channels' if place == 'caption_head' else 'in_channels'
    right = head[option]
    wrong = [2 * width for width in right] if isinstance(right, list) else 2 * right
    if head['type'] == 'KarrasCaptionHead':
        wrong = 2 * right
    with pytest.raises(ValueError) as refusal:
        build(encoder, fusion, **{place: head | {option: wrong}})
    told, name = str(refusal.value), head['type'].split('.')[-1]
    for word in (name, fused.source, f'({option})'):
        assert word in told
    shown = [str(tuple(width) if isinstance(width, list) else width) for width in (wrong, right)]
    assert f'of width {shown[0]} ' in told and f'gives {shown[1]}: set {option}={shown[1]}' in told


def test_a_swapped_fusion_beside_a_flag_head_is_refused_with_both_widths():
    with pytest.raises(ValueError, match=r'ChangeFlagHead reads a pooled vector of width 48 '
                       r'\(in_channels\) and ConcatFusion gives 32: set in_channels=32, or change '
                       'ConcatFusion'):
        build('BlipViT', FUSIONS['ConcatFusion'],
              flag_head=dict(type='ChangeFlagHead', in_channels=48))


def test_a_neck_makes_maps_of_a_plain_transformer_fit():
    encoder = dict(type='BlipViT', config=VIT | dict(num_hidden_layers=4), out_layers=(1, 2, 3, 4))
    fusion = FUSIONS['LanguageGuidedFusion'] | dict(in_channels=(16, ) * 4, score_level=2)
    head = dict(type='SwinTextHead', text_channels=16, in_channels=8, channels=8, groups=2, rank=4,
                window=2, num_classes=3, loss_decode=LOSS)
    cfg = dict(type='ChangeInterpreter', encoder=encoder, fusion=fusion, change_head=head)
    with pytest.raises(ValueError, match=r'twice the stride .* LanguageGuidedFusion gives strides '
                       r'\(16, 16, 16, 16\): .*SimpleFeaturePyramid'):
        MODELS.build(copy.deepcopy(cfg))
    pyramid = dict(type='SimpleFeaturePyramid', in_channels=8, out_channels=8)
    model = MODELS.build(copy.deepcopy(cfg | dict(neck=pyramid)))
    values = model(**model.data_preprocessor(batch(2, (64, 64)), True), mode='loss')
    assert_gradient_reaches_everything(model.change_head, total(values))
    with pytest.raises(ValueError, match=r'SimpleFeaturePyramid \(neck\) does not take the maps '
                       r'that LanguageGuidedFusion gives, of the widths \(8, 8, 8, 8\)'):
        MODELS.build(copy.deepcopy(cfg | dict(neck=pyramid | dict(in_channels=16))))


@pytest.mark.parametrize('change, told', [
    (dict(fusion=dict(type='ChangeFlagHead', in_channels=3)),
     r'fusion=ChangeFlagHead does not derive from rscc\.models\.fusion\.base\.Fusion'),
    (dict(encoder=dict(type='SingleFrame')), r'encoder=SingleFrame does not derive from .*Encoder'),
    (dict(prompter=dict(type='SingleFrame')), 'prompter=SingleFrame does not derive from')])
def test_a_part_of_another_kind_is_refused(change, told):
    cfg = dict(type='ChangeInterpreter', encoder=ENCODERS['BlipViT'],
               fusion=FUSIONS['ConcatFusion'],
               flag_head=dict(type='ChangeFlagHead', in_channels=32))
    with pytest.raises(TypeError, match=told):
        MODELS.build(copy.deepcopy(cfg | change))


def test_a_backbone_of_an_unknown_kind_is_built_and_not_compared():
    spec = FeatureSpec('Unknown')
    head = as_change_head(MODELS.build(change_head_for('FPNHead', spec)))
    assert head.misfit(spec) == ''


def test_a_model_of_two_dates_says_so_to_samples_of_one():
    model = build('BlipViT', FUSIONS['ConcatFusion'],
                  flag_head=dict(type='ChangeFlagHead', in_channels=32))
    assert model.time_steps == (2, )
    with pytest.raises(ValueError, match='built for what ConcatFusion makes of 2 dates, found '
                       'samples of 1'):
        model(torch.zeros(1, 1, 3, 64, 64))
