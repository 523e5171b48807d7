"""What every comparison with recorded numbers is computed in."""
import pytest
import torch


@pytest.fixture(scope='module', autouse=True)
def float64():
    """Compute in float64, ``.float()`` included, for the reasons that ``tests/rounding.py`` has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, 'float', torch.Tensor.double)
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(default)
