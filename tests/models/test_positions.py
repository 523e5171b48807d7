import pytest
import torch

from rscc.models.positions import (
    AxisPositions,
    check_image_size,
    resize_position_table,
    sine_positions,
)


def test_position_codes_differ_everywhere_and_scale_with_the_grid():
    codes = sine_positions((4, 6), 16, torch.zeros(1))[0]
    distances = torch.cdist(codes, codes) + torch.eye(24) * 9
    assert distances.min() > 0.1
    coarse = sine_positions((1, 1), 16, torch.zeros(1))[0, 0]
    fine = sine_positions((3, 3), 16, torch.zeros(1))[0, 4]
    torch.testing.assert_close(coarse, fine)


def test_position_codes_need_a_multiple_of_four():
    with pytest.raises(ValueError, match='divisible by 4, found 18'):
        sine_positions((2, 2), 18, torch.zeros(1))


def test_a_table_of_the_right_size_is_returned_itself():
    table = torch.randn(17, 6)
    assert resize_position_table(table, (4, 4)) is table


def test_the_class_row_stays_and_places_keep_their_positions():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing='ij')
    table = torch.cat([torch.full((1, 2), -5.0),
                       torch.stack([rows.flatten(), columns.flatten()], 1)])
    resized = resize_position_table(table, (4, 2))
    assert resized.shape == (9, 2) and torch.equal(resized[0], table[0])
    # Centres of the larger cells, on the old grid's scale.
    torch.testing.assert_close(resized[1:, 0].reshape(4, 2)[:, 0],
                               torch.tensor([0.5, 2.5, 4.5, 6.5]))
    torch.testing.assert_close(resized[1:, 1].reshape(4, 2)[0], torch.tensor([1.5, 5.5]))


def test_half_precision_is_interpolated_in_single():
    table = torch.randn(50, 4)
    half = resize_position_table(table.half(), (16, 16))
    assert half.dtype is torch.float16
    torch.testing.assert_close(half, resize_position_table(table.half().float(), (16, 16)).half())


@pytest.mark.parametrize('rows', [1, 16])
def test_a_table_without_a_square_grid_is_refused(rows):
    with pytest.raises(ValueError, match=f'n\\*n for a square grid, found {rows} rows'):
        resize_position_table(torch.zeros(rows, 4), (2, 2))


def test_the_message_about_a_size_names_the_remedy():
    check_image_size(torch.zeros(1, 3, 64, 96), 32, 'Encoder')
    with pytest.raises(ValueError, match=r'Encoder takes .* multiples of 32, found 65x96: set '
                                         'size_divisor=32 in data_preprocessor'):
        check_image_size(torch.zeros(1, 3, 65, 96), 32, 'Encoder')


@torch.no_grad()
def test_learned_axes_code_the_column_first_and_then_the_row():
    part = AxisPositions((3, 5), 4)
    codes = part((3, 5)).view(3, 5, 4)
    assert torch.equal(codes[2, 4], torch.cat([part.columns[4], part.rows[2]]))
    assert torch.equal(codes[1, :, 2:], part.rows[1].expand(5, 2))


@torch.no_grad()
def test_learned_axes_are_stretched_to_another_grid():
    part = AxisPositions((4, 8), 2)
    part.rows.copy_(torch.arange(4.0)[:, None])
    part.columns.copy_(torch.arange(8.0)[:, None])
    codes = part((2, 4)).view(2, 4, 2)
    torch.testing.assert_close(codes[0, :, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))
    torch.testing.assert_close(codes[:, 0, 1], torch.tensor([0.5, 2.5]))


def test_learned_axes_need_an_even_width():
    with pytest.raises(ValueError, match='expected an even number, found 7'):
        AxisPositions((2, 2), 7)
