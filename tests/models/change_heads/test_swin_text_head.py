import pytest
import torch
from testers import assert_gradient_reaches_everything, data_samples, generator

from rscc.registry import MODELS
from rscc.structures import ChangeFeatures

CFG = dict(type='SwinTextHead', text_channels=10, in_channels=8, channels=8, levels=3, groups=4,
           rank=4, window=4, dropout=0.0, drop_path=0.0)
CROSS_ENTROPY = dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(CFG | changes)


def features(n=2, dates=2):
    draw = generator()
    maps = [torch.randn(n, 8, 8 // 2**i, 12 // 2**i, generator=draw) for i in range(3)]
    return ChangeFeatures(maps=maps, text=torch.randn(n, dates, 2, 10, generator=draw))


def test_logits_have_the_stride_of_the_finest_map():
    head = build(num_classes=3)
    logits = head(features())
    assert logits.shape == (2, 3, 8, 12)
    assert_gradient_reaches_everything(head, logits.square().sum())
    assert head.predict(features(), [dict(pad_shape=(32, 48))] * 2).shape == (2, 3, 32, 48)


@pytest.mark.parametrize('losses, names', [
    (CROSS_ENTROPY, {'loss_ce'}),
    ([CROSS_ENTROPY, dict(type='mmseg.DiceLoss', loss_weight=0.5)], {'loss_ce', 'loss_dice'}),
    (dict(type='mmseg.LovaszLoss', reduction='none'), {'loss_lovasz'}),
    (dict(type='FocalLoss', gamma=1.0), {'loss_focal'})])
def test_any_loss_of_mmsegmentation_is_one_line_of_config(losses, names):
    head = build(loss_decode=losses)
    values = head.loss(features(), data_samples(2, classes=2))
    assert set(values) == names | {'acc_seg'}
    total = sum(values[name] for name in names)
    assert total.isfinite() and total > 0
    assert_gradient_reaches_everything(head, total)


def test_losses_of_one_name_add_up():
    one = build(loss_decode=CROSS_ENTROPY).loss(features(), data_samples(2, classes=2))
    two = build(loss_decode=[CROSS_ENTROPY, CROSS_ENTROPY]).loss(
        features(), data_samples(2, classes=2))
    torch.testing.assert_close(two['loss_ce'], 2 * one['loss_ce'])


def test_ignored_pixels_count_neither_in_the_loss_nor_in_the_accuracy():
    head, samples = build(), data_samples(2, classes=2)
    predicted = head.predict(features(), [dict(pad_shape=(32, 32))]).argmax(1)
    for sample, mask in zip(samples, predicted, strict=True):
        sample.gt_sem_seg.data = mask[None].clone()
    assert head.loss(features(), samples)['acc_seg'] == 100
    samples[0].gt_sem_seg.data[:, :8] = 255
    samples[1].gt_sem_seg.data[:, :16] = 1 - samples[1].gt_sem_seg.data[:, :16]
    expected = 100 * (1 - 16 / (24 + 32))
    torch.testing.assert_close(head.loss(features(), samples)['acc_seg'], torch.tensor(expected))


@torch.no_grad()
def test_texts_matter_and_the_dates_are_told_apart():
    head, given = build().eval(), features()
    swapped = ChangeFeatures(maps=given.maps, text=given.text.flip(1))
    assert not torch.allclose(head(given), head(swapped), atol=1e-6)


def test_texts_of_the_wrong_number_of_dates_are_refused():
    with pytest.raises(ValueError, match=r'needs the texts of 2 dates, found those of 1 date'):
        build()(features(dates=1))
    with pytest.raises(ValueError, match=r'SwinTextHead\(num_classes=1\): .*so 2 for plain'):
        build(num_classes=1)
    bare = ChangeFeatures(maps=features().maps)
    with pytest.raises(ValueError, match='found none; LanguageGuidedFusion provides them'):
        build()(bare)
