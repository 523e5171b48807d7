import pytest
import torch

from rscc.models.positions import sine_positions


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
