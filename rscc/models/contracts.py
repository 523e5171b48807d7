"""Contracts between the parts of a model: features given, features needed, and their comparison.

Every part declares its side: an encoder and a fusion the widths of what they give
(:class:`FeatureSpec`), a fusion and a head what they read (:class:`Need`). The interpreter compares
both sides when a model is built, so that parts that do not fit are refused then, by name and width,
and not by a traceback inside the first training step.
"""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from rscc.registry import Part
from rscc.structures import FrameFeatures

#: What to do where a feature is absent, whatever part should have given it.
_ADVICE = {'tokens': 'stored features have some with features.tokens=True',
           'text': 'LanguageGuidedFusion gives them',
           'date_maps': 'set out_indices or out_layers of the encoder for maps, and no neck'}
_NAMES = {'maps': 'feature maps', 'tokens': 'tokens', 'pooled': 'a pooled vector',
          'text': 'text embeddings', 'date_maps': 'feature maps of every date'}
PROBE_SIDE = 64  # pixels: two places at stride 32


@dataclass(frozen=True)
class Normalisation:
    """Channel statistics by which images are standardised before an encoder sees them.

    Attributes:
        mean: Mean of every band on the 0-1 scale.
        std: Standard deviation of every band, same scale.
        source: Where they come from, for logs and results: the name of the weights, or the config.
    """
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for checkpoints and result files."""
        return dict(mean=list(self.mean), std=list(self.std), source=self.source)


@dataclass(frozen=True)
class FeatureSpec:
    """Widths and strides of the features that one part gives the next.

    A width counts channels: 0 says that there is no such feature, None that nobody can tell before
    there are data. What is None is not compared.

    Attributes:
        source: Name of the part that gives them.
        maps: Width of every map, fine to coarse; () for none.
        strides: Image pixels from one place of each map to the next; 3.5 is possible where
            patches of 14 pixels are unfolded.
        tokens: Width of the tokens.
        token_stride: Image pixels from one token to the next.
        placed: Whether the tokens lie on a grid of rows and columns.
        pooled: Width of the pooled vector.
        text: Width of the text embeddings.
        time_steps: T, the time steps whose texts are given.
        date_maps: Width of every map of one date, fine to coarse; () for none. A fusion that says
            None hands on those of the encoder.
        space: Identity of the CLIP whose joint space tokens and pooled vector are in, where the
            weights tell; texts of another CLIP cannot be compared with them.
        advice: What to set where a feature is absent, by the name of the feature.
    """
    source: str
    maps: tuple[int, ...] | None = None
    strides: tuple[float, ...] | None = None
    tokens: int | None = None
    token_stride: int | None = None
    placed: bool | None = None
    pooled: int | None = None
    text: int | None = 0
    time_steps: int | None = None
    date_maps: tuple[int, ...] | None = None
    space: str | None = None
    advice: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, features: FrameFeatures) -> 'FeatureSpec':
        """Return the widths of features that are there."""
        def width(value: Tensor | None) -> int:
            return 0 if value is None else value.shape[-1]

        return cls('the encoder', maps=tuple(level.shape[2] for level in features.maps),
                   tokens=width(features.tokens), placed=features.token_grid is not None,
                   pooled=width(features.pooled))


@dataclass(frozen=True)
class Need:
    """One feature that a part reads.

    Attributes:
        feature: ``'maps'``, ``'date_maps'``, ``'tokens'``, ``'pooled'`` or ``'text'``.
        width: Channels it must have, for maps one number a level; None takes any.
        option: Option of the part that sets this width.
        levels: Indices of the maps that are read, as many as ``width`` has numbers; None reads all
            of them, and there must be no more.
        joined: Whether the maps are concatenated, so that ``width`` is the sum of theirs.
        placed: Whether tokens must lie on a grid of rows and columns.
    """
    feature: str
    width: int | tuple[int, ...] | None = None
    option: str = ''
    levels: tuple[int, ...] | None = None
    joined: bool = False
    placed: bool = False

    def misfit(self, reader: str, given: FeatureSpec) -> str:
        """Return what keeps ``reader`` from reading the feature, or ''."""
        found = getattr(given, self.feature)  # a field of the record
        if found is None:  # nobody knows yet
            return ''
        name, advice = _NAMES[self.feature], (_ADVICE | given.advice).get(self.feature)
        if not found:
            return (f'{reader} needs {name} and {given.source} gives none'
                    + (f': {advice}' if advice else ''))
        if self.placed and given.placed is False:
            return (f'{reader} needs tokens on a grid and {given.source} gives some without: say '
                    'their rows and columns in token_grid of StoredFeatures')
        # Of maps, those at the indices that are read, and their sum where they are concatenated.
        if self.levels is not None:
            absent = [level for level in self.levels if not -len(found) <= level < len(found)]
            if absent:
                return (f'{reader} reads the maps {list(self.levels)} (in_index) and '
                        f'{given.source} gives {len(found)}: set in_index and {self.option} to '
                        f'maps of the widths {list(found)}')
            found = tuple(found[level] for level in self.levels)
        found = sum(found) if self.joined else found
        if self.width in (None, found):
            return ''
        return (f'{reader} reads {name} of width {self.width} ({self.option}) and '
                f'{given.source} gives {found}: set {self.option}={found}, or change '
                f'{given.source}')


AUTO = 'auto'
#: Options that may say 'auto', by the part that has them, and the widths that they then get.
_FILLED = {
    'fusion': {'channels': 'tokens', 'in_channels': 'maps', 'text_channels': 'tokens'},
    'neck': {'in_channels': 'maps'},
    'guidance': {'channels': 'tokens'},
    'change_head': {'in_channels': 'maps', 'feature_strides': 'strides', 'text_channels': 'text',
                    'date_channels': 'date_maps'},
    'caption_head': {'memory_channels': 'tokens'},
    'flag_head': {'in_channels': 'pooled', 'token_channels': 'tokens'},
}


def fill_widths(cfg: Mapping[str, Any], part: str, given: Callable[[], FeatureSpec]
                ) -> dict[str, Any]:
    """Put widths and strides where the config of a part says ``'auto'``.

    A head that says so fits every encoder and fusion; one that says numbers is compared with them.

    Args:
        cfg: Config of the part, not changed.
        part: ``'fusion'``, ``'neck'``, ``'guidance'``, ``'change_head'``, ``'caption_head'`` or
            ``'flag_head'``.
        given: Returns what comes before it; asked only where something is to be filled in.

    Returns:
        The config with numbers.

    Raises:
        ValueError: If the option is none that is known before training, or nobody knows its width.
    """
    filled, known = dict(cfg), _FILLED[part]
    for option in [option for option, value in cfg.items()
                   if isinstance(value, str) and value == AUTO]:
        if option not in known:
            raise ValueError(f"{part}.{option}='auto': only {', '.join(known)} of {part} can be "
                             'taken from what comes before')
        spec = given()
        value = getattr(spec, known[option])  # a field of the record
        if not value:
            raise ValueError(
                f"{part}.{option}='auto': {spec.source} "
                + ('does not know its widths before there are data: give numbers'
                   if value is None else f'gives no {_NAMES.get(known[option], known[option])}'))
        if part == 'change_head' and isinstance(value, tuple):
            value = _at_levels(value, cfg.get('in_index', -1))
        filled[option] = list(value) if isinstance(value, tuple) else value
    return filled


def _at_levels(values: tuple, levels: int | Sequence[int]) -> Any:
    """Return the values of the maps that a decode head reads by its ``in_index``."""
    absent = [level for level in ([levels] if isinstance(levels, int) else levels)
              if not -len(values) <= level < len(values)]
    if absent:
        raise ValueError(f'in_index={levels} of the change head, which gets {len(values)} maps: '
                         f'{absent} do not exist')
    if isinstance(levels, int):
        return values[levels]
    return tuple(values[level] for level in levels)


def probe(module: nn.Module, *inputs: Any) -> Any:
    """Run a module once without a trace, to see the shapes of what it returns.

    It runs in evaluation mode, without gradient, and is left as it was.
    """
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:  # not eval(): backbones freeze or thaw more than the mode there
            part.training = False
        with torch.no_grad():
            return module(*inputs)
    finally:
        for part, mode in modes:
            part.training = mode


def probe_backbone(backbone: nn.Module, side: int = PROBE_SIDE) -> Any | None:
    """Run a backbone on one black image (1, 3, side, side).

    Returns:
        Its output, or None where it does not run on such an image.
    """
    like = next(backbone.parameters(), torch.zeros(()))
    try:
        return probe(backbone, like.new_zeros(1, 3, side, side))
    except Exception:  # made for one image size, or with operators that this device lacks
        return None


def probed_strides(maps: Sequence[Tensor], side: int = PROBE_SIDE) -> tuple[int, ...]:
    """Return the strides of the maps that ``probe_backbone`` returned."""
    return tuple(side // level.shape[-1] for level in maps)


def after_neck(neck: nn.Module, given: FeatureSpec) -> FeatureSpec:
    """Return what the maps become behind a neck, found by running it on zeros.

    Args:
        neck: From a list of maps (N, C_i, h_i, w_i) to such maps.
        given: What comes before it; where its maps are unknown, those behind it are as well.

    Raises:
        ValueError: If it does not run on maps of these widths.
    """
    behind = replace(given, source=f'{type(neck).__name__} behind {given.source}', strides=None,
                     date_maps=())
    if not given.maps or not given.strides:
        return behind
    # Zeros of the right widths whose sizes follow the strides, the finest 32 places wide.
    like, finest = next(neck.parameters(), torch.zeros(())), min(given.strides)
    sides = [int(32 * finest / stride) for stride in given.strides]
    zeros = [like.new_zeros(1, width, side, side)
             for width, side in zip(given.maps, sides, strict=True)]
    try:
        maps = probe(neck, zeros)
    except (NotImplementedError, ImportError):  # an operator that this device lacks
        return replace(behind, maps=None)
    except Exception as error:
        raise ValueError(
            f'{type(neck).__name__} (neck) does not take the maps that {given.source} gives, of '
            f'the widths {given.maps}: set its in_channels to these ({error})') from error
    return replace(behind, maps=tuple(level.shape[1] for level in maps),
                   strides=tuple(whole(32 * finest / level.shape[-1]) for level in maps))


def whole(stride: float) -> float:
    """Return a stride as an int where it is one."""
    return int(stride) if stride == int(stride) else stride


def together(every: Sequence[Part], given: Callable[[int], FeatureSpec],
             time_steps: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of time steps at which every reader can read what it is given.

    Args:
        every: The readers.
        given: From T to what they are given.
        time_steps: The T to try.

    Raises:
        ValueError: If there is none; it says what is the matter at the largest.
    """
    # The first complaint of any reader, at each T.
    misfits = {steps: next(filter(None, (reader.misfit(given(steps)) for reader in every)), '')
               for steps in time_steps}
    fitting = tuple(steps for steps, misfit in misfits.items() if not misfit)
    if not fitting:
        raise ValueError(misfits[max(time_steps)])
    return fitting
