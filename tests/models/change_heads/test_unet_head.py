import copy

import pytest
import torch
from testers import (
    ChangeHeadTester,
    assert_gradient_reaches_everything,
    batch,
    data_samples,
    losses,
    total,
)

from rscc.models.contracts import FeatureSpec
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures


class TestUNetHead(ChangeHeadTester):
    cfg = dict(type='UNetHead', in_channels=(16, 16), channels=(8, ), convs=(2, ), num_classes=3)


class TestOneLogit(ChangeHeadTester):
    cfg = TestUNetHead.cfg | dict(num_classes=2, out_channels=1, convs=(3, ),
                                  loss_decode=dict(type='DiceLoss'))

    def test_loss_is_finite_and_reaches_every_parameter(self):
        head = self.build()
        values = head.loss(self.features(3), data_samples(3, classes=2))
        assert set(values) == {'loss_dice'} and 0 < values['loss_dice'] < 1
        assert_gradient_reaches_everything(head, total(values))


def fcsiam(kind, widths=(16, 32, 64, 128), convs=(2, 2, 3, 3), **options):
    """The model of Daudt et al. in our parts."""
    torch.manual_seed(0)
    joined = [(2 if kind == 'concat' else 1) * width for width in widths]
    return MODELS.build(dict(
        type='ChangeInterpreter', encoder=dict(type='UNetEncoder', widths=widths, convs=convs),
        fusion=dict(type='MapFusion', kind=kind, coarsest='to'),
        change_head=dict(type='UNetHead', in_channels=(*joined, widths[-1]), channels=widths,
                         convs=convs, **options)))


@pytest.mark.parametrize(('kind', 'millions', 'exact'), [
    ('absolute', 1.35, 1_350_146), ('concat', 1.55, 1_545_986)])
def test_the_siamese_u_net_has_as_many_weights_as_the_published_one(kind, millions, exact):
    count = sum(weight.numel() for weight in fcsiam(kind).parameters())
    assert count == exact
    assert round(count / 1e6, 2) == millions


@torch.no_grad()
def test_the_head_starts_from_the_later_date_so_that_the_order_matters():
    model = fcsiam('absolute', (4, 8), (2, 2)).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.kaiming_normal_(weight)
    inputs = torch.randn(2, 2, 3, 32, 32)
    plain, swapped = model(inputs)['change_logits'], model(inputs.flip(1))['change_logits']
    assert not torch.allclose(plain, swapped, atol=1e-4)
    # Without that map nothing tells the dates apart: differences are absolute.
    model.fusion.coarsest = 'fused'
    torch.testing.assert_close(model(inputs)['change_logits'],
                               model(inputs.flip(1))['change_logits'])


@torch.no_grad()
@pytest.mark.parametrize('size', [(37, 50), (16, 63), (64, 64)])
def test_maps_of_odd_sizes_come_out_at_the_size_of_the_image(size):
    logits = fcsiam('concat', (4, 8), (2, 2)).eval()(torch.randn(1, 2, 3, *size))['change_logits']
    assert logits.shape == (1, 2, *size) and logits.isfinite().all()


@torch.no_grad()
def test_maps_that_were_rounded_up_are_cut():
    head = MODELS.build(TestUNetHead.cfg).eval()
    maps = [torch.randn(1, 16, 7, 5), torch.randn(1, 16, 4, 3)]  # 2 * 4 > 7, 2 * 3 > 5
    assert head(ChangeFeatures(maps=maps)).shape == (1, 3, 7, 5)


@torch.no_grad()
def test_it_reads_the_maps_that_it_is_told():
    head = MODELS.build(TestUNetHead.cfg | dict(in_index=(0, 2))).eval()
    maps = [torch.randn(1, 16, 8, 8), torch.randn(1, 5, 3, 3), torch.randn(1, 16, 4, 4)]
    assert head(ChangeFeatures(maps=maps)).shape == (1, 3, 8, 8)
    assert head.misfit(FeatureSpec('Given', maps=(16, 5, 16), strides=(4, 6, 8))) == ''
    assert '(in_index)' in head.misfit(FeatureSpec('Given', maps=(16, 5), strides=(4, 8)))
    head = MODELS.build(TestUNetHead.cfg | dict(in_index=(0, 1)))
    assert 'strides (4, 6)' in head.misfit(FeatureSpec('Given', maps=(16, 16, 16),
                                                       strides=(4, 6, 8)))


def test_it_decodes_the_maps_of_another_encoder():
    resnet = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4)
    model = MODELS.build(dict(
        type='ChangeInterpreter', encoder=resnet, fusion=dict(type='MapFusion'),
        change_head=dict(type='UNetHead', in_channels='auto', in_index=(0, 1, 2, 3),
                         channels=(4, 8, 16), convs=(2, 2, 2), num_classes=3)))
    data = batch(2)
    assert total(losses(model, copy.deepcopy(data))).isfinite()
    (answer, _) = model.eval().test_step(data)
    assert answer.pred_sem_seg.data.shape == (1, 64, 64)  # from stride 4


def test_maps_of_one_stride_are_refused_with_a_way_out():
    head = MODELS.build(TestUNetHead.cfg)
    told = head.misfit(FeatureSpec('Plain', maps=(16, 16), strides=(16, 16)))
    assert 'UNetHead needs maps each of twice the stride' in told
    assert 'Plain gives strides (16, 16)' in told and 'SimpleFeaturePyramid' in told


@pytest.mark.parametrize(('options', 'told'), [
    (dict(channels=(8, 8)), r'channels=\(8, 8\) and convs=\(2,\) of UNetHead have one number'),
    (dict(in_channels=(16, ), channels=(), convs=()), 'but the last'),
    (dict(in_channels=16), r"joins two maps or more, found in_channels=16: .*'auto' beside"),
    (dict(convs=(1, )), 'two convolutions or more'),
    (dict(num_classes=1), 'classes include "unchanged", so num_classes=2'),
    (dict(out_channels=1), 'or 1 for two classes'), (dict(out_channels=2), 'that number')])
def test_options_that_do_not_fit_each_other_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        MODELS.build(TestUNetHead.cfg | options)
