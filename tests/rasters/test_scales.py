import numpy as np
import pytest

from rscc.rasters.scales import advised_scale


@pytest.mark.parametrize(('low', 'high', 'dtype', 'advice'), [
    (0, 1, 'float32', (0, 1)), (0.2, 0.9, 'float64', (0, 1)), (0, 240, 'float32', (0, 255)),
    (0, 1, 'uint16', (0, 255)), (10, 3000, 'uint16', (0, 10000)), (0, 9e4, 'uint32', (0, 89000)),
    (-25, 3, 'float32', (-25, 2.5)), (300, 60000, 'uint16', (0, 65535))])
def test_advice_on_the_scale_fits_the_values(low, high, dtype, advice):
    values = np.linspace(low, high, 3000).reshape(10, 100, 3).astype(dtype)
    scale, ends = advised_scale(values)
    assert scale == advice
    assert [*map(float, ends)] == pytest.approx([values.min(), values.max()], rel=1e-3)
    assert not any('e' in end for end in ends)


def test_advice_on_the_scale_passes_over_what_is_no_value():
    values = np.full((4, 4, 3), 0.5, np.float32)
    values[0], values[1], values[2, 0] = np.nan, -9999, 3e38
    assert advised_scale(values)[0] == (0, 1)
    assert advised_scale(np.full((2, 2), np.nan)) == ('percentile', None)
