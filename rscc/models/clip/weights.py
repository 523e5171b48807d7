"""Loading CLIP and SigLIP weights into image towers and text encoders: all of them, or an error."""
from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any

from torch import Tensor, nn

from rscc import compat
from rscc.models.clip.towers import VisualTower, describe_text, describe_visual, visual_tower
from rscc.models.clip.weight_files import CLIPWeights, read_clip, read_siglip
from rscc.models.positions import resize_position_table
from rscc.models.pretrained import weight_differences
from rscc.utils.logging import warn_once

__all__ = ['CLIPWeights', 'check_activation', 'load_siglip', 'load_text', 'load_visual',
           'read_clip', 'siglip_config']

_TABLES = ('positional_embedding', 'attnpool.positional_embedding')
#: Not of the text encoder, though they have no prefix of their own.
_SCALES = ('logit_scale', 'logit_bias')


def load_visual(visual: nn.Module, source: str, quick_gelu: bool | None) -> CLIPWeights:
    """Load an image tower whose parameters have OpenAI's names without ``visual.``.

    The position table is resized to the tower's own grid.

    Args:
        visual: The tower; unchanged where anything does not fit.
        source: CLIP weights, see :func:`read_clip`.
        quick_gelu: Whether the tower computes QuickGELU; None where it has no such activation.

    Returns:
        What was read, for the facts that come with it.

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
    _check_heads(visual, visual_tower(found), source)
    return weights


def _check_heads(visual: nn.Module, tower: VisualTower | None, source: str) -> None:
    """Refuse another number of heads than published sizes have: no shape would tell."""
    if tower is None or tower.letter is None:
        return
    heads = visual.transformer.resblocks[0].attn.num_heads
    if heads != tower.heads:
        raise ValueError(f"CLIP weights '{source}' are a {tower}, which has {tower.heads} heads, "
                         f'and this model is set to heads={heads}: set heads={tower.heads}')


def load_text(text: nn.Module, source: str, quick_gelu: bool) -> CLIPWeights:
    """Load a text encoder whose parameters have CLIP's names.

    Where the encoder has fewer positions than the file, the first ones are taken.

    Args:
        text: The encoder; unchanged where anything does not fit.
        source: CLIP weights, see :func:`read_clip`.
        quick_gelu: Whether the encoder computes QuickGELU.

    Returns:
        What was read, for the facts that come with it.

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
    return weights


def load_siglip(tower: nn.Module, source: str, which: str) -> CLIPWeights:
    """Load one tower of a SigLIP whose parameters have the names that transformers gives them.

    Args:
        tower: transformers' ``SiglipVisionModel`` or ``SiglipTextModel``; unchanged where anything
            does not fit.
        source: SigLIP weights, see :func:`rscc.models.clip.weight_files.read_siglip`.
        which: ``'vision_model'`` or ``'text_model'``.

    Returns:
        What was read, for the facts that come with it.

    Raises:
        ValueError: If keys are missing, unexpected or of another shape (all are listed).
        FileNotFoundError, OSError: As :func:`read_clip`.
    """
    weights = read_siglip(source)
    found = {key.removeprefix(f'{which}.'): value for key, value in weights.state_dict.items()
             if key.startswith(f'{which}.')}
    describe = describe_visual if which == 'vision_model' else describe_text
    _load(tower, found, weights, None, describe)
    _check_fields(tower, weights, which)
    return weights


def siglip_config(weights: CLIPWeights) -> Any | None:
    """Return transformers' configuration, ``config.json`` beside the weights, if it is there."""
    folder = weights.origin.path.parent
    if not (folder / 'config.json').is_file():
        return None
    return compat.import_transformers('models.siglip').SiglipConfig.from_pretrained(folder)


def _check_fields(tower: nn.Module, weights: CLIPWeights, which: str) -> None:
    """Refuse other heads or another activation than the weights had: no shape would tell."""
    config = siglip_config(weights)
    if config is None:
        return
    published = getattr(config, which.replace('_model', '_config'))
    for name, option in (('num_attention_heads', 'heads'), ('hidden_act', 'hidden_act')):
        wanted, own = getattr(published, name), getattr(tower.config, name)
        if wanted != own:
            raise ValueError(f"SigLIP weights '{weights.source}' were trained with {name}={wanted} "
                             f'in their {which}, and this model is set to {option}={own}')


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
    check_activation(weights.source, weights.quick_gelu, quick_gelu, weights.origin.confirmed)
    module.load_state_dict(found)


def check_activation(source: str, trained: bool | None, quick_gelu: bool | None,
                     confirmed: bool = True) -> None:
    """Refuse the other activation: the model would run, and answer a little wrong everywhere.

    Args:
        source: Name of the weights.
        trained: Whether they were trained with QuickGELU; None where that is unknown, which is
            noted in the log.
        quick_gelu: Whether the model computes it; None where it has neither.
        confirmed: Whether ``trained`` is certain. If not, the other one is noted in the log.

    Raises:
        ValueError: If the two differ and that is certain.
    """
    if quick_gelu is None:
        return
    if trained is None:
        warn_once(f"'{source}' does not say whether it was trained with QuickGELU; "
                  f'quick_gelu={quick_gelu} is taken (OpenAI: True)', 20)
    elif not confirmed:
        warn_once(f"the authors of '{source}' do not say whether it was trained with QuickGELU; "
                  f'quick_gelu={quick_gelu} is taken, quick_gelu={trained} is likely. '
                  'tools/analysis_tools/clip_accuracy.py compares both',
                  20 if trained == quick_gelu else 30)
    elif trained != quick_gelu:
        activation = 'QuickGELU' if trained else 'the exact GELU'
        raise ValueError(f"CLIP weights '{source}' were trained with {activation}, and this model "
                         f'is set to quick_gelu={quick_gelu}: set quick_gelu={trained}')
