import pytest
import torch
from testers import FusionTester, frame_features

from rscc.models.contracts import FeatureSpec
from rscc.models.fusion.base import join_dates
from rscc.registry import MODELS
from rscc.structures import FrameFeatures


class TestSingleFrame(FusionTester):
    cfg = dict(type='SingleFrame')
    dates, tokens = 1, 24

    def test_a_pair_is_refused(self):
        with pytest.raises(ValueError, match=r'takes 1 date.* found 2; use ConcatFusion'):
            self.build()(frame_features(2, 2))


class TestConcatFusion(FusionTester):
    cfg = dict(type='ConcatFusion', channels=16)
    tokens = 48

    def test_it_starts_as_plain_concatenation(self):
        features = frame_features()
        assert torch.equal(self.build()(features).tokens, features.tokens.flatten(1, 2))

    def test_one_date_of_two_is_that_date(self):
        features = frame_features(2, 1)
        assert torch.equal(self.build()(features).tokens, features.tokens[:, 0])


class TestDifferenceFusion(FusionTester):
    cfg = dict(type='DifferenceFusion', channels=16)
    tokens = 72

    def test_it_starts_as_concatenation_and_empty_difference(self):
        features = frame_features()
        fused = self.build()(features)
        assert torch.equal(fused.tokens[:, :48], features.tokens.flatten(1, 2))
        assert fused.tokens[:, 48:].abs().sum() == 0

    def test_without_zero_init_the_difference_is_there(self):
        features = frame_features()
        fused = MODELS.build(self.cfg | dict(zero_init=False))(features)
        torch.testing.assert_close(fused.tokens[:, 48:],
                                   features.tokens[:, 1] - features.tokens[:, 0])

    @pytest.mark.parametrize('class_token', [False, True])
    def test_position_tells_where_equal_changes_are(self, class_token):
        features = frame_features(class_token=class_token)
        features.tokens[:, 1] = features.tokens[:, 0] + 1  # the same change everywhere
        plain, placed = (MODELS.build(self.cfg | dict(zero_init=False, position=position))(
            features).tokens[0, -24:] for position in (False, True))
        torch.testing.assert_close(plain, plain[:1].expand_as(plain))
        distances = torch.cdist(placed, placed) + torch.eye(24) * 9
        assert distances.min() > 0.1

    def test_a_single_image_is_refused(self):
        with pytest.raises(ValueError, match='DifferenceFusion takes 2 date'):
            self.build()(frame_features(2, 1))


class TestCrossGatedFusion(FusionTester):
    cfg = dict(type='CrossGatedFusion', channels=16, num_heads=4, num_layers=2)
    tokens = 48


class TestQueryResampler(FusionTester):
    cfg = dict(type='QueryResampler', fusion=dict(type='DifferenceFusion', channels=16),
               channels=16, num_queries=5, num_heads=4)
    tokens = 5


def test_a_fusion_without_tokens_says_so():
    features = frame_features()
    features.tokens = None
    with pytest.raises(ValueError, match='ConcatFusion needs tokens'):
        MODELS.build(dict(type='ConcatFusion', channels=16))(features)


class TestSignedDifference(FusionTester):
    cfg = dict(type='SignedDifference')
    tokens = 24

    def test_the_memory_is_before_minus_after(self):
        features = frame_features()
        fused = self.build()(features)
        assert torch.equal(fused.tokens, features.tokens[:, 0] - features.tokens[:, 1])

    def test_swapping_the_dates_turns_the_sign(self):
        features = frame_features()
        swapped = FrameFeatures([features.maps[0].flip(1)], features.tokens.flip(1),
                                features.token_grid, features.pooled.flip(1))
        assert torch.equal(self.build()(swapped).tokens, -self.build()(features).tokens)

    def test_two_equal_images_leave_nothing(self):
        features = frame_features()
        features.tokens[:, 1] = features.tokens[:, 0]
        assert not self.build()(features).tokens.any()

    def test_maps_and_pooled_vectors_are_those_of_difference_fusion(self):
        features = frame_features()
        ours = self.build()(features)
        other = MODELS.build(dict(type='DifferenceFusion', channels=16))(features)
        assert torch.equal(ours.pooled, other.pooled) and torch.equal(ours.maps[0], other.maps[0])
        assert ours.token_grid == (1, 4, 6)

    def test_a_single_image_is_refused(self):
        with pytest.raises(ValueError, match=r'SignedDifference takes 2 date\(s\) a sample, found '
                           '1; use ConcatFusion or SingleFrame'):
            self.build()(frame_features(2, 1))

    def test_features_without_tokens_are_refused(self):
        features = frame_features()
        features.tokens = None
        with pytest.raises(ValueError, match='SignedDifference needs tokens'):
            self.build()(features)


def swapped(features):
    return FrameFeatures([level.flip(1) for level in features.maps], features.tokens.flip(1),
                         features.token_grid, features.pooled.flip(1))


class TestMapFusion(FusionTester):
    cfg = dict(type='MapFusion')
    tokens = 24

    def test_the_maps_are_before_minus_after(self):
        features = frame_features()
        fused = self.build()(features)
        assert torch.equal(fused.maps[0], features.maps[0][:, 0] - features.maps[0][:, 1])
        assert torch.equal(fused.tokens, features.tokens[:, 0] - features.tokens[:, 1])

    def test_swapping_the_dates_turns_the_sign(self):
        plain, other = self.build()(frame_features()), self.build()(swapped(frame_features()))
        assert torch.equal(plain.maps[0], -other.maps[0])
        assert torch.equal(plain.tokens, -other.tokens)

    def test_the_absolute_difference_knows_no_order(self):
        fusion, features = MODELS.build(self.cfg | dict(kind='absolute')), frame_features()
        plain, other = fusion(features), fusion(swapped(features))
        assert torch.equal(plain.maps[0], other.maps[0])
        assert torch.equal(plain.maps[0], self.build()(features).maps[0].abs())

    def test_the_coarsest_map_may_be_that_of_the_later_date(self):
        features = frame_features()
        features.maps.append(torch.randn(2, 2, 8, 2, 3))
        for kind, width in (('signed', 16), ('absolute', 16), ('concat', 32)):
            fusion = MODELS.build(self.cfg | dict(kind=kind, coarsest='to'))
            fused = fusion(features)
            assert torch.equal(fused.maps[-1], features.maps[-1][:, 1])
            assert fusion.gives(FeatureSpec.of(features), 2).maps == (width, 8)

    def test_maps_alone_are_enough_and_tokens_alone_are_not(self):
        features = frame_features()
        features.tokens = features.pooled = None
        fused = self.build()(features)
        assert fused.tokens is None and fused.pooled is None
        given = self.build().gives(FeatureSpec.of(features), 2)
        assert (given.maps, given.tokens, given.pooled) == ((16, ), 0, 0)
        with pytest.raises(ValueError, match='MapFusion needs feature maps and the encoder gives'):
            self.build()(FrameFeatures(tokens=torch.zeros(1, 2, 3, 4)))

    @pytest.mark.parametrize(('options', 'told'), [
        (dict(kind='sign'), r"kind='sign' is unknown: use one of .*Did you mean 'signed'"),
        (dict(coarsest='from'), r"coarsest='from' is unknown: use one of \['fused', 'to'\]")])
    def test_an_unknown_option_names_the_known_ones(self, options, told):
        with pytest.raises(ValueError, match=told):
            MODELS.build(self.cfg | options)


class TestBothDates(FusionTester):
    cfg = dict(type='MapFusion', kind='concat')
    tokens = 24

    @torch.no_grad()
    def test_shapes(self):
        features = frame_features(3)
        fused = self.build()(features)
        assert torch.equal(fused.maps[0], features.maps[0].flatten(1, 2))
        assert fused.tokens.shape == (3, 24, 32)
        assert torch.equal(fused.tokens[..., 16:], features.tokens[:, 1])


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('samples', [1, 2])
def test_joined_dates_keep_their_memory_format(memory_format, samples):
    maps = torch.randn(2 * samples, 3, 4, 5).contiguous(memory_format=memory_format)
    dates = maps.unflatten(0, (samples, 2))
    joined = join_dates(dates)
    assert torch.equal(joined, dates.flatten(1, 2))
    assert joined.is_contiguous(memory_format=memory_format)
