import dataclasses

import pytest
import torch
from testers import assert_gradient_reaches_everything, generator, tensors_of

from rscc.models.contracts import FeatureSpec
from rscc.models.fusion.language_guided_fusion import (
    ContextDecoder,
    DifferenceCompensation,
    _beside,
)
from rscc.registry import MODELS
from rscc.structures import FrameFeatures


def build(**options):
    torch.manual_seed(0)
    return ContextDecoder(12, width=16, heads=2, layers=2, **options)


def inputs():
    draw = generator()
    return torch.randn(3, 2, 12, generator=draw), torch.randn(3, 7, 12, generator=draw)


def test_texts_keep_their_shape_and_every_parameter_learns():
    decoder = build(dropout=0.0)
    out = decoder(*inputs())
    assert out.shape == (3, 2, 12)
    assert_gradient_reaches_everything(decoder, out.square().sum())


@torch.no_grad()
def test_the_order_of_the_visual_tokens_does_not_matter_but_their_content_does():
    decoder, (text, visual) = build().eval(), inputs()
    out = decoder(text, visual)
    torch.testing.assert_close(decoder(text, visual.flip(1)), out)
    assert not torch.allclose(decoder(text, visual * visual), out, atol=1e-3)


@torch.no_grad()
def test_dropout_acts_in_training_only():
    decoder, given = build(dropout=0.5), inputs()
    assert not torch.equal(decoder(*given), decoder(*given))
    assert torch.equal(decoder.eval()(*given), decoder(*given))


def build_dfc():
    torch.manual_seed(0)
    return DifferenceCompensation(6, channels=8, reduction=4)


def maps(*channels):
    draw = generator()
    return [torch.randn(2, width, 5, 4, generator=draw) for width in channels]


def test_the_level_keeps_its_size_and_every_parameter_learns():
    layer = build_dfc()
    out = layer(*maps(6, 6, 8))
    assert out.shape == (2, 8, 5, 4) and out.min() >= 0
    assert_gradient_reaches_everything(layer, out.square().sum())


@torch.no_grad()
def test_the_gate_is_half_where_dates_agree_and_largest_where_they_are_opposite():
    img_from, = maps(6)
    same, opposite = (DifferenceCompensation.gate(img_from, other)
                      for other in (img_from, -img_from))
    torch.testing.assert_close(same, torch.full((2, 1, 5, 4), 0.5))
    torch.testing.assert_close(opposite, torch.full((2, 1, 5, 4), 2.0).sigmoid())


@torch.no_grad()
def test_exchanged_dates_give_the_same_features():
    layer, (img_from, img_to, fused) = build_dfc(), maps(6, 6, 8)
    torch.testing.assert_close(layer(img_from, img_to, fused), layer(img_to, img_from, fused))


CFG = dict(
    type='LanguageGuidedFusion', in_channels=(8, 10, 12), text_channels=16, channels=12,
    reduction=4, context_decoder=dict(width=16, heads=2, layers=1, dropout=0.0),
    prompt_encoder=dict(
        contexts=2, text_encoder=dict(
            type='CLIPTextEncoder', width=16, heads=2, layers=1, embed_dim=16)))
PROMPTS = [[['road', 'lake'], ['road']], [['sea'], ['lake']]]


def build_fusion(**changes):
    torch.manual_seed(0)
    return MODELS.build(CFG | changes)


def features(n=2, t=2, grid=(3, 2), prompts=PROMPTS):
    draw = generator()
    maps = [torch.randn(n, t, width, grid[0] * scale, grid[1] * scale, generator=draw)
            for width, scale in zip((8, 10, 12), (4, 2, 1), strict=True)]
    tokens = torch.randn(n, t, grid[0] * grid[1], 16, generator=draw)
    return FrameFeatures(maps, tokens, grid, torch.randn(n, t, 16, generator=draw), prompts)


def test_shapes_and_gradients():
    fusion = build_fusion()
    fused = fusion(features())
    assert [tuple(level.shape) for level in fused.maps] == [
        (2, 12, 12, 8), (2, 12, 6, 4), (2, 12, 3, 2)]
    assert fused.text.shape == (2, 2, 2, 16)
    assert fused.tokens.shape == (2, 18, 16) and fused.pooled.shape == (2, 48)
    loss = sum(value.square().sum() for value in tensors_of(fused))
    assert_gradient_reaches_everything(fusion, loss)


MEMORY = dict(type='DifferenceFusion', channels=16, zero_init=False, position=True)


def test_another_fusion_makes_the_memory_and_leaves_maps_and_texts_alone():
    given, plain, other = features(), build_fusion(), build_fusion(memory=MEMORY)
    other.load_state_dict(plain.state_dict(), strict=False)
    fused, expected = other(given), plain(given)
    for one, two in zip([*fused.maps, fused.text], [*expected.maps, expected.text], strict=True):
        torch.testing.assert_close(one, two)
    memory = other.memory(given)
    assert torch.equal(fused.tokens, memory.tokens) and torch.equal(fused.pooled, memory.pooled)
    assert fused.token_grid == expected.token_grid == (3, 3, 2)
    loss = sum(value.square().sum() for value in tensors_of(fused))
    assert_gradient_reaches_everything(other, loss)


def test_exchanged_dates_exchange_the_plain_memory_and_not_one_with_marks():
    given = features()
    exchanged = dataclasses.replace(given, tokens=given.tokens.flip(1))
    plain, marked = build_fusion(), build_fusion(memory=MEMORY)
    torch.nn.init.normal_(marked.memory.date_embedding.weight)

    def earlier(fusion, frames, part):  # tokens of one date among those of the memory
        return fusion(frames).tokens[:, 6 * part:6 * part + 6]

    torch.testing.assert_close(earlier(plain, given, 0), earlier(plain, exchanged, 1))
    assert not torch.allclose(earlier(marked, given, 0), earlier(marked, exchanged, 1), atol=0.1)


def test_a_memory_declares_its_widths_and_is_compared_with_the_encoder():
    frames = FeatureSpec('Towers', maps=(8, 10, 12), strides=(8, 16, 32), tokens=16,
                         token_stride=32, placed=True, pooled=16)
    resampled = dict(type='QueryResampler', fusion=MEMORY, channels=16, num_queries=5, num_heads=2)
    given = build_fusion(memory=resampled).gives(frames, 2)
    assert (given.tokens, given.pooled, given.text, given.maps) == (16, 48, 16, (12, 12, 12))
    assert given.source == 'LanguageGuidedFusion' and given.strides == (8, 16, 32)
    assert build_fusion(memory=resampled)(features()).tokens.shape == (2, 5, 16)
    misfit = build_fusion(memory=MEMORY | dict(channels=8)).misfit(frames)
    assert 'DifferenceFusion reads tokens of width 8 (channels) and Towers gives 16' in misfit


@torch.no_grad()
def test_class_names_guide_the_maps_of_their_own_sample_only():
    fusion = build_fusion().eval()
    torch.nn.init.constant_(fusion.gamma, 0.5)
    one = fusion(features())
    other = fusion(features(prompts=[PROMPTS[0], [['sea'], ['airport']]]))
    for left, right in zip(one.maps, other.maps, strict=True):
        torch.testing.assert_close(left[0], right[0])
    assert not torch.allclose(one.maps[-1][1], other.maps[-1][1], atol=1e-6)


@torch.no_grad()
def test_without_class_names_the_sentences_stand_alone():
    fusion = build_fusion().eval()
    bare = fusion(features(prompts=None))
    empty = fusion(features(prompts=[[[], []], [[], []]]))
    assert torch.equal(bare.text, empty.text)


@torch.no_grad()
def test_the_published_evaluation_gives_both_dates_the_earlier_names():
    ours, theirs = build_fusion().eval(), build_fusion(prompts_at_test='from').eval()
    same = [[names[0], names[0]] for names in PROMPTS]
    assert torch.equal(theirs(features()).text, ours(features(prompts=same)).text)
    assert torch.equal(theirs.train()(features()).text, ours.train()(features()).text)


@torch.no_grad()
def test_a_score_map_is_the_cosine_of_position_and_text():
    fusion, given = build_fusion().eval(), features()
    text = torch.randn(2, 2, 2, 16, generator=generator(3))
    scores = fusion._scores(given.tokens, text, given.token_grid, given.maps[-1])
    expected = torch.cosine_similarity(given.tokens[1, 0, 3], text[1, 0, 1], dim=0)
    torch.testing.assert_close(scores[1, 0, 1, 1, 1], expected)


@pytest.mark.parametrize('change, message', [
    (dict(pooled=None), 'LanguageGuidedFusion needs a pooled vector and the encoder gives none'),
    (dict(tokens=None), 'LanguageGuidedFusion needs tokens'),
    (dict(token_grid=(2, 3)), r'score_level: that map is \(3, 2\) and the tokens lie on \(2, 3\)')])
def test_an_encoder_that_does_not_suit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build_fusion()(dataclasses.replace(features(), **change))


def test_one_date_is_refused_and_so_is_an_unknown_quirk():
    with pytest.raises(ValueError, match=r'takes 2 date.* found 1'):
        build_fusion()(features(t=1, prompts=None))
    with pytest.raises(ValueError, match=r"prompts_at_test is one of .* found 'to'"):
        build_fusion(prompts_at_test='to')


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_scores_join_maps_in_their_memory_format(memory_format):
    maps = torch.randn(4, 3, 4, 5).contiguous(memory_format=memory_format).unflatten(0, (2, 2))
    scores = torch.randn(2, 2, 2, 4, 5)
    joined = _beside(maps, scores)
    assert torch.equal(joined, torch.cat([maps, scores], 2))
    assert joined.flatten(0, 1).is_contiguous(memory_format=memory_format)


@torch.no_grad()
def test_a_level_is_compensated_in_reduced_precision():
    layer = DifferenceCompensation(8, 8)
    widths = []
    layer.project.register_forward_pre_hook(lambda _, given: widths.append(given[0].dtype))
    with torch.autocast('cpu', torch.bfloat16):
        layer(*torch.randn(3, 1, 8, 4, 4).bfloat16())
    assert widths == [torch.bfloat16]
