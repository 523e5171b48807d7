"""Loading CLIP weights into image towers and text encoders: all of them, or an error."""
from collections.abc import Callable, Mapping
from math import isqrt

from torch import Tensor, nn

from rscc.models.clip.weight_files import CLIPWeights, describe_text, describe_visual, read_clip
from rscc.models.positions import resize_position_table
from rscc.models.pretrained import weight_differences
from rscc.utils.logging import warn_once

__all__ = ['CLIPWeights', 'check_activation', 'load_text', 'load_visual', 'read_clip']

_TABLES = ('positional_embedding', 'attnpool.positional_embedding')
#: Not of the text encoder, though they have no prefix of their own.
_SCALES = ('logit_scale', 'logit_bias')


def load_visual(visual: nn.Module, source: str, quick_gelu: bool | None) -> None:
    """Load an image tower whose parameters have OpenAI's names without ``visual.``.

    The position table is resized to the tower's own grid.

    Args:
        visual: The tower; unchanged where anything does not fit.
        source: CLIP weights, see :func:`read_clip`.
        quick_gelu: Whether the tower computes QuickGELU; None where it has no such activation.

    Raises:
        ValueError: If keys are missing, unexpected or of another shape (all are listed), or the
            weights were trained with the other activation.
        FileNotFoundError, OSError: As :func:`read_clip`.
    """
    weights = read_clip(source)
    found = {key.removeprefix('visual.'): value for key, value in weights.state_dict.items()
             if key.startswith('visual.')}
    # Position tables of another resolution are resized to the tower's own grid.
    own = visual.state_dict()
    for key in _TABLES:
        if key in found and key in own:
            found[key] = _fit_grid(found[key], own[key])
    _load(visual, found, weights, quick_gelu, describe_visual)


def load_text(text: nn.Module, source: str, quick_gelu: bool) -> None:
    """Load a text encoder whose parameters have CLIP's names.

    Where the encoder has fewer positions than the file, the first ones are taken.

    Args:
        text: The encoder; unchanged where anything does not fit.
        source: CLIP weights, see :func:`read_clip`.
        quick_gelu: Whether the encoder computes QuickGELU.

    Raises:
        ValueError: If keys are missing, unexpected or of another shape (all are listed), or the
            weights were trained with the other activation.
        FileNotFoundError, OSError: As :func:`read_clip`.
    """
    weights = read_clip(source)
    found = {key: value for key, value in weights.state_dict.items()
             if not key.startswith('visual.') and key not in _SCALES}
    # Fewer positions than the file has are its first ones.
    key, own = 'positional_embedding', text.state_dict()
    if key in found and key in own:
        found[key] = found[key][:len(own[key])]
    _load(text, found, weights, quick_gelu, describe_text)


def _fit_grid(table: Tensor, own: Tensor) -> Tensor:
    """Resize positions (1 + n*n, C) to the own square grid, where both have one."""
    side = isqrt(max(len(own) - 1, 0))
    square = isqrt(max(len(table) - 1, 0)) ** 2 == len(table) - 1
    if not square or len(table) < 2 or side * side != len(own) - 1:
        return table
    return resize_position_table(table, (side, side))


def _load(module: nn.Module, found: dict[str, Tensor], weights: CLIPWeights,
          quick_gelu: bool | None, describe: Callable[[Mapping[str, Tensor]], str]) -> None:
    """Load ``found`` into ``module`` after everything has been compared."""
    # All differences are found before a single weight is replaced.
    own = module.state_dict()
    lines = weight_differences(found, own)
    if lines:
        raise ValueError('\n  '.join([
            f"CLIP weights '{weights.source}' do not fit: the file is {describe(found)}; this "
            f'model is {describe(own)}.', *lines,
            'Name weights of that architecture, or set the model up for these.']))
    check_activation(weights.source, weights.quick_gelu, quick_gelu)
    module.load_state_dict(found)


def check_activation(source: str, trained: bool | None, quick_gelu: bool | None) -> None:
    """Refuse the other activation: the model would run, and answer a little wrong everywhere.

    Args:
        source: Name of the weights.
        trained: Whether they were trained with QuickGELU; None where that is unknown, which is
            noted in the log.
        quick_gelu: Whether the model computes it; None where it has neither.

    Raises:
        ValueError: If the two differ.
    """
    if quick_gelu is None:
        return
    if trained is None:
        warn_once(f"'{source}' does not say whether it was trained with QuickGELU; "
                  f'quick_gelu={quick_gelu} is taken (OpenAI: True)', 20)
    elif trained != quick_gelu:
        activation = 'QuickGELU' if trained else 'the exact GELU'
        raise ValueError(f"CLIP weights '{source}' were trained with {activation}, and this model "
                         f'is set to quick_gelu={quick_gelu}: set quick_gelu={trained}')
