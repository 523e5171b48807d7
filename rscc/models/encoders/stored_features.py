"""Features computed once, where an encoder would compute them at every step."""
import math
from collections.abc import Sequence

from torch import Tensor

from rscc.models.contracts import FeatureSpec
from rscc.models.encoders.base import Encoder
from rscc.registry import MODELS
from rscc.structures import FrameFeatures


@MODELS.register_module()
class StoredFeatures(Encoder):
    """Hand the features that a dataset brings to the fusion; nothing to train, nothing stored.

    The dataset reads them from a file (``features=dict(file=..., tokens=True)`` of
    ``ChangeDataset``; ``tools/extract_features.py`` writes it for the encoder of any config,
    ``tools/extract_clip_embeddings.py`` for a CLIP), so no image is read and no image network runs:
    a small caption head trains many times as fast. They equal those of the frozen encoder on images
    prepared as for a test, so a trained head also works behind that encoder. There is no
    augmentation, and there are no feature maps for a change head.

    Args:
        channels: Width D of the features; None takes what comes.
        token_grid: (h, w) of the tokens, with or without a class token before them; None takes a
            square, where their number allows one.
    """

    def __init__(self, channels: int | None = None,
                 token_grid: Sequence[int] | None = None) -> None:
        super().__init__()
        self.embed_dims = channels
        self.token_grid = None if token_grid is None else tuple(token_grid)

    def gives(self) -> FeatureSpec:
        """Return the width of the features; whether there are tokens, only a file can tell."""
        return FeatureSpec(
            'StoredFeatures', maps=(), tokens=self.embed_dims, pooled=self.embed_dims,
            advice=dict(maps='train a change head on images, behind the encoder itself'))

    def forward(self, inputs: Tensor) -> FrameFeatures:
        """Sort the features.

        Args:
            inputs: (N, T, 1, D), the pooled feature alone, or (N, T, 1 + L, D), those of L tokens
                after it.

        Returns:
            Pooled (N, T, D); tokens (N, T, L, D) and their grid where there are any.

        Raises:
            ValueError: If the inputs are images, of another width, or of another grid.
        """
        if inputs.ndim != 4:
            raise ValueError(f'StoredFeatures takes features (N, T, L, D), found '
                             f'{tuple(inputs.shape)}: give the dataset features=dict(file=...), '
                             "or images to encoder=dict(type='CLIPViT')")
        if self.embed_dims not in (None, inputs.shape[-1]):
            raise ValueError(f'the features are {inputs.shape[-1]} wide and the encoder is set to '
                             f'channels={self.embed_dims}: the file is of another encoder')
        # The pooled feature comes first, the tokens after it: (N, T, L, D), L may be 0.
        tokens = inputs[:, :, 1:]
        count = tokens.shape[2]
        return FrameFeatures(pooled=inputs[:, :, 0], tokens=tokens if count else None,
                             token_grid=self._grid(count) if count else None)

    def _grid(self, count: int) -> tuple[int, int] | None:
        """Return the grid of ``count`` tokens, None where it is neither said nor square."""
        side = math.isqrt(count)
        grid = self.token_grid or (side, side)
        # One more: a class token comes first. No number is a square and one more than another.
        if grid[0] * grid[1] in (count, count - 1):
            return grid
        if self.token_grid is None:
            return None
        raise ValueError(f'{count} tokens do not lie on the grid (h, w) of {grid} that '
                         'StoredFeatures.token_grid says')
