"""Kinds of pictures of a caption: attention maps and denoising trajectories.

One table serves the test's pictures (``PanelHook``), ``InferenceResult`` and ``tools/infer.py``; a
head with something else to show adds a line.
"""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rscc.structures import AttendedCaption, SampledCaption, ScoredCaption
from rscc.utils import did_you_mean
from rscc.visualization.attention import draw_attention
from rscc.visualization.denoising_trajectory import draw_denoising


class CaptionDrawing(NamedTuple):
    """One kind of picture of a caption.

    Attributes:
        name: Of the folder and the files.
        what: Its plural, for messages.
        option: Decoding option that asks for it.
        heads: Caption heads that have it, for messages.
        has: Tells whether a caption has what is drawn.
        draw: Draws frames (uint8 RGB (H, W, 3), earliest first), caption and title as uint8 RGB.
    """
    name: str
    what: str
    option: str
    heads: str
    has: Callable[[ScoredCaption], bool]
    draw: Callable[..., np.ndarray]


CAPTION_DRAWINGS = (
    CaptionDrawing('attention', 'attention maps', 'return_attention', 'AttentionLSTMHead',
                   lambda caption: isinstance(caption, AttendedCaption), draw_attention),
    CaptionDrawing('denoising', 'denoising trajectories', 'return_trajectory', 'KarrasCaptionHead',
                   lambda caption: isinstance(caption, SampledCaption) and bool(caption.trajectory),
                   draw_denoising),
)


def drawings_of(caption: ScoredCaption | None) -> list[CaptionDrawing]:
    """Return the kinds of picture that can be drawn of a caption; none for None."""
    return [] if caption is None else [kind for kind in CAPTION_DRAWINGS if kind.has(caption)]


def find_drawing(name: str, caption: ScoredCaption | None) -> CaptionDrawing:
    """Return the kind of picture of this name.

    Args:
        name: As in the table, ``'attention'`` for instance.
        caption: Whose picture it is to be; None where there is no sentence.

    Raises:
        ValueError: If there is no such kind, or the caption does not bring it.
    """
    known = {kind.name: kind for kind in CAPTION_DRAWINGS}
    if name not in known:
        raise ValueError(f"captions have no drawing '{name}'; expected one of {', '.join(known)}."
                         f'{did_you_mean(name, known)}')
    kind = known[name]
    if caption is None or not kind.has(caption):
        raise ValueError(f'there are no {kind.what} to draw: ask for them with {kind.option}=True, '
                         f'of a model whose caption head has some ({kind.heads})')
    return kind
