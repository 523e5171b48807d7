"""CLIP features computed once, where an encoder would compute them at every step."""
from torch import Tensor, nn

from rscc.registry import MODELS
from rscc.structures import FrameFeatures


@MODELS.register_module()
class StoredFeatures(nn.Module):
    """Hand the features that a dataset brings to the fusion; nothing to train, nothing stored.

    The dataset reads them from a file (``features=dict(file=..., model=...)`` of
    ``ChangeDataset``, written by ``tools/extract_clip_embeddings.py``), so no image is read and no
    image tower runs: a small caption head trains many times as fast. They equal those of a frozen
    ``CLIPViT`` or ``CLIPResNet`` on images prepared as CLIP prepares them, so a trained head also
    works behind such an encoder. There is no augmentation.

    Args:
        channels: Width D of the features; None takes what comes.
    """

    def __init__(self, channels: int | None = None) -> None:
        super().__init__()
        self.embed_dims = channels

    def forward(self, inputs: Tensor) -> FrameFeatures:
        """Sort the features.

        Args:
            inputs: (N, T, 1, D), the pooled feature alone, or (N, T, 1 + L, D), those of L patches
                after it.

        Returns:
            Pooled (N, T, D); tokens (N, T, L, D) and their square grid where there are any.

        Raises:
            ValueError: If the inputs are images, or of another width.
        """
        if inputs.ndim != 4:
            raise ValueError(f'StoredFeatures takes features (N, T, L, D), found '
                             f'{tuple(inputs.shape)}: give the dataset features=dict(file=...), '
                             "or images to encoder=dict(type='CLIPViT')")
        if self.embed_dims not in (None, inputs.shape[-1]):
            raise ValueError(f'the features are {inputs.shape[-1]} wide and the encoder is set to '
                             f'channels={self.embed_dims}: the file is of another CLIP model')
        tokens = inputs[:, :, 1:]
        count = tokens.shape[2]
        side = round(count ** 0.5)
        return FrameFeatures(pooled=inputs[:, :, 0], tokens=tokens if count else None,
                             token_grid=(side, side) if count and side * side == count else None)
