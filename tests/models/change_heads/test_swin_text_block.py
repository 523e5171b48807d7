import pytest
import torch
from testers import assert_gradient_reaches_everything, generator

from rscc.models.change_heads.swin_text_block import (
    SwinTextBlock,
    _from_windows,
    _to_windows,
    relative_position_index,
    shift_mask,
)


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
