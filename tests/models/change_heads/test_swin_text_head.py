from dataclasses import replace

import pytest
import torch
from testers import (
    ChangeHeadTester,
    assert_gradient_reaches_everything,
    change_features,
    data_samples,
    generator,
)

from rscc.models.change_heads.swin_text_head import (
    SwinTextBlock,
    _from_windows,
    _to_windows,
    relative_position_index,
    shift_mask,
)
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures


def build(**options):
    torch.manual_seed(0)
    return SwinTextBlock(8, heads=2, window=4, rank=4, **options)


def inputs(size=(6, 9)):
    draw = generator()
    return (torch.randn(2, size[0] * size[1], 8, generator=draw), size,
            torch.randn(2, 3, 8, generator=draw))


@pytest.mark.parametrize('shift', [0, 2])
def test_any_size_keeps_its_shape_and_every_parameter_learns(shift):
    block = build(shift=shift)
    out = block(*inputs())
    assert out.shape == (2, 54, 8)
    assert_gradient_reaches_everything(block, out.square().sum())


def test_windows_come_row_by_row_and_go_back():
    maps = torch.arange(2 * 8 * 12 * 3).reshape(2, 8, 12, 3)
    windows = _to_windows(maps, 4)
    assert windows.shape == (2, 6, 16, 3)
    assert torch.equal(windows[1, 4].reshape(4, 4, 3), maps[1, 4:, 4:8])
    assert torch.equal(_from_windows(windows, (8, 12), 4), maps)


@torch.no_grad()
@pytest.mark.parametrize('shift, reached', [(0, slice(0, 4)), (2, slice(2, 6))])
def test_a_position_hears_its_window_only(shift, reached):
    block, (tokens, size, text) = build(shift=shift), inputs((12, 12))
    changed = tokens.clone()
    changed[:, 3 * 12 + 3] += 5
    difference = (block(changed, size, text) - block(tokens, size, text)).abs().sum(-1)
    heard = difference.unflatten(1, size)[0] > 1e-6
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[reached, reached] = True
    assert torch.equal(heard, expected)


@torch.no_grad()
def test_shifted_windows_do_not_join_opposite_borders():
    block, (tokens, size, text) = build(shift=2), inputs((8, 8))
    changed = tokens.clone()
    changed[:, 0] += 5
    difference = (block(changed, size, text) - block(tokens, size, text)).abs().sum(-1)
    assert (difference.unflatten(1, size)[0, 2:, 2:] < 1e-6).all()


def test_the_mask_is_made_once_for_a_size():
    assert shift_mask((8, 8), 4, 2) is shift_mask((8, 8), 4, 2)
    with torch.inference_mode():
        made = shift_mask((8, 4), 4, 2)
    assert not made.is_inference() and made.shape == (2, 16, 16)
    assert set(made.unique().tolist()) == {0.0, -100.0}


def test_relative_positions_are_numbered_by_row_and_column_distance():
    index = relative_position_index(3)
    assert index.shape == (9, 9)
    assert (index.diagonal() == 12).all()  # no distance: the middle of the 5 x 5 table
    assert index[0, 8] == 0 and index[8, 0] == 24  # two rows and two columns apart
    assert index[0, 1] == 11 and index[0, 3] == 7


@torch.no_grad()
def test_texts_reach_every_position():
    block, (tokens, size, text) = build(), inputs()
    assert ((block(tokens, size, text + 1) - block(tokens, size, text)).abs().sum(-1) > 0).all()


CFG = dict(type='SwinTextHead', text_channels=10, in_channels=8, channels=8, levels=3, groups=4,
           rank=4, window=4, dropout=0.0, drop_path=0.0)
CROSS_ENTROPY = dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)


def build_head(**changes):
    torch.manual_seed(0)
    return MODELS.build(CFG | changes)


def features(n=2, dates=2):
    draw = generator()
    maps = [torch.randn(n, 8, 8 // 2**i, 12 // 2**i, generator=draw) for i in range(3)]
    return ChangeFeatures(maps=maps, text=torch.randn(n, dates, 2, 10, generator=draw))


def test_logits_have_the_stride_of_the_finest_map():
    head = build_head(num_classes=3)
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
    head = build_head(loss_decode=losses)
    values = head.loss(features(), data_samples(2, classes=2))
    assert set(values) == names | {'acc_seg'}
    total = sum(values[name] for name in names)
    assert total.isfinite() and total > 0
    assert_gradient_reaches_everything(head, total)


def test_losses_of_one_name_add_up():
    one = build_head(loss_decode=CROSS_ENTROPY).loss(features(), data_samples(2, classes=2))
    two = build_head(loss_decode=[CROSS_ENTROPY, CROSS_ENTROPY]).loss(
        features(), data_samples(2, classes=2))
    torch.testing.assert_close(two['loss_ce'], 2 * one['loss_ce'])


def test_ignored_pixels_count_neither_in_the_loss_nor_in_the_accuracy():
    head, samples = build_head(), data_samples(2, classes=2)
    predicted = head.predict(features(), [dict(pad_shape=(32, 32))]).argmax(1)
    for sample, mask in zip(samples, predicted, strict=True):
        sample.gt_sem_seg.data = mask[None].clone()
    assert head.loss(features(), samples)['acc_seg'] == 100
    samples[0].gt_sem_seg.data[:, :8] = 255
    samples[1].gt_sem_seg.data[:, :16] = 1 - samples[1].gt_sem_seg.data[:, :16]
    expected = 100 * (1 - 16 / (24 + 32))
    torch.testing.assert_close(head.loss(features(), samples)['acc_seg'], torch.tensor(expected))


class TestSwinTextHead(ChangeHeadTester):
    cfg = CFG | dict(in_channels=16, channels=16, levels=2, text_channels=16, num_classes=3)
    reads_dates = True

    def features(self, n=2):
        text = torch.randn(n, 2, 2, 16, generator=generator())
        return replace(change_features(n), text=text)


def test_texts_of_the_wrong_number_of_dates_are_refused():
    with pytest.raises(ValueError, match=r'needs the texts of 2 dates, found those of 1 date'):
        build_head()(features(dates=1))
    with pytest.raises(ValueError, match=r'SwinTextHead\(num_classes=1\): .*so 2 for plain'):
        build_head(num_classes=1)
    bare = ChangeFeatures(maps=features().maps)
    with pytest.raises(ValueError, match='found none; LanguageGuidedFusion provides them'):
        build_head()(bare)
