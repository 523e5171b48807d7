import pytest
import torch
from testers import (
    ChangeHeadTester,
    ModuleTester,
    assert_gradient_reaches_everything,
    change_features,
    data_samples,
)

from rscc.models.change_heads.base import PixelHead, as_change_head
from rscc.models.contracts import FeatureSpec, Need
from rscc.registry import MODELS

LOSS = dict(type='CrossEntropyLoss', avg_non_ignore=True)


class TestFCNHead(ChangeHeadTester):
    cfg = dict(type='mmseg.FCNHead', in_channels=16, in_index=1, channels=8, num_classes=3,
               num_convs=1, norm_cfg=dict(type='BN'), loss_decode=LOSS)


class TestConcatenatedMaps(ChangeHeadTester):
    cfg = TestFCNHead.cfg | dict(in_channels=(16, 16), in_index=(0, 1),
                                 input_transform='resize_concat')


class TestFPNHead(ChangeHeadTester):
    cfg = dict(type='mmseg.FPNHead', in_channels=[16, 16], in_index=[0, 1], feature_strides=[4, 8],
               channels=8, num_classes=3, norm_cfg=dict(type='BN'), loss_decode=LOSS)


def test_one_logit_has_no_accuracy_that_counts_channel_0_as_right():
    cfg = TestFCNHead.cfg | dict(num_classes=2, out_channels=1, threshold=0.5,
                                 loss_decode=dict(type='rscc.DiceLoss'))
    losses = as_change_head(MODELS.build(cfg)).loss(change_features(2), data_samples(2, classes=2))
    assert set(losses) == {'loss_dice'}
    losses = as_change_head(MODELS.build(TestFCNHead.cfg)).loss(change_features(2), data_samples(2))
    assert 'acc_seg' in losses


def test_maps_that_do_not_exist_are_counted():
    head = as_change_head(MODELS.build(TestFPNHead.cfg | dict(in_index=[0, 2])))
    assert head.misfit(FeatureSpec('Given', maps=(16, 16))) == (
        'FPNHead reads the maps [0, 2] (in_index) and Given gives 2: set in_index and in_channels '
        'to maps of the widths [16, 16]')


class Convolution(PixelHead):
    """A head as short as one can be, and what a hurried author forgets."""

    def __init__(self, lacking='', logged='share'):
        super().__init__(dict(type='CrossEntropyLoss'), 255)
        self.logged, self.shape = logged, lambda logits: logits
        for name, value in (('classify', torch.nn.Conv2d(16, 3, 1)), ('out_channels', 3)):
            if name != lacking:
                setattr(self, name, value)

    def needs(self):
        return [Need('maps', (16, ), 'in_channels', (0, ))]

    def forward(self, features):
        return self.shape(self.classify(features.maps[0]))

    def details(self, logits, target):
        return {self.logged: (target > 0).float().mean()}


MODELS.register_module(module=Convolution, force=True)


@pytest.mark.parametrize('lacking, told', [
    ('out_channels', 'no out_channels'), ('classify', 'no layer named classify')])
def test_a_head_without_what_its_base_class_asks_for_is_refused_when_it_is_built(lacking, told):
    MODELS.build(dict(type='Convolution'))
    with pytest.raises(TypeError, match=f'Convolution has {told}, which ChangeHead asks every clas'
                       's to set in its constructor: see the recipes in CONTRIBUTING.md'):
        MODELS.build(dict(type='Convolution', lacking=lacking))


@pytest.mark.parametrize('shape, told', [
    (lambda logits: logits.permute(0, 2, 3, 1), r'of the shape \(2, 8, 8, 3\)'),
    (lambda logits: logits[:, 0], r'of the shape \(2, 8, 8\)'),
    (lambda logits: torch.cat([logits, logits], 1), r'of the shape \(2, 6, 8, 8\)'),
    (lambda logits: (logits, ), 'as a tuple')])
def test_logits_of_another_form_are_refused_with_the_one_that_is_meant(shape, told):
    head = MODELS.build(dict(type='Convolution'))
    head.loss(change_features(2), data_samples(2))
    head.shape = shape
    for call in (lambda: head.loss(change_features(2), data_samples(2)),
                 lambda: head.predict(change_features(2), [dict(pad_shape=(32, 32))] * 2)):
        with pytest.raises(ValueError, match=f'Convolution.forward returned logits {told}: a tensor'
                           r' \(N, 3, h, w\) is expected'):
            call()


def test_details_do_not_become_losses():
    head = MODELS.build(dict(type='Convolution', logged='loss_edge'))
    with pytest.raises(ValueError, match=r"details gives 'loss_edge', .* added to the loss"):
        head.loss(change_features(2), data_samples(2))


class TestChangeFlagHead(ModuleTester):
    cfg = dict(type='ChangeFlagHead', in_channels=16, hidden_channels=8)

    def test_loss_reaches_every_parameter(self):
        head = self.build()
        loss = head.loss(change_features(4), data_samples(4))['loss_flag']
        assert loss.isfinite()
        assert_gradient_reaches_everything(head, loss)

    def test_samples_without_a_flag_add_nothing(self):
        head, samples = self.build().eval(), data_samples(2)
        both = head.loss(change_features(2), samples)['loss_flag']
        features = change_features(2)
        del samples[1].gt_change_flag
        one = head.loss(features, samples)['loss_flag']
        logit = head(features)[0]
        expected = 0.5 * torch.nn.functional.softplus(logit)  # target 0
        torch.testing.assert_close(one, expected)
        assert one != both

    def test_probabilities_lie_between_zero_and_one(self):
        assert all(0 < value < 1 for value in self.build().predict(change_features(5)))

    def test_features_without_a_pooled_vector_are_refused(self):
        features = change_features()
        features.pooled = None
        with pytest.raises(ValueError, match='needs pooled features'):
            self.build()(features)


class TestSimpleFeaturePyramid(ModuleTester):
    cfg = dict(type='SimpleFeaturePyramid', in_channels=12, out_channels=8)

    def test_strides_double(self):
        maps = self.build()([torch.randn(2, 12, 4, 6)] * 4)
        assert [tuple(feature.shape) for feature in maps] == [
            (2, 8, 16, 24), (2, 8, 8, 12), (2, 8, 4, 6), (2, 8, 2, 3)]

    def test_gradient_reaches_every_parameter(self):
        neck = self.build()
        loss = sum(feature.square().sum() for feature in neck([torch.randn(2, 12, 4, 4)] * 4))
        assert_gradient_reaches_everything(neck, loss)

    def test_another_number_of_maps_is_refused(self):
        with pytest.raises(ValueError, match='takes 4 maps, found 2'):
            self.build()([torch.randn(1, 12, 4, 4)] * 2)
