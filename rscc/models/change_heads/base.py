"""Base class of change heads, and MMSegmentation's decode heads as such."""
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from rscc import compat
from rscc.models.contracts import Need
from rscc.registry import Part
from rscc.structures import ChangeDataSample, ChangeFeatures


class ChangeHead(Part, metaclass=ABCMeta):
    """Fused features to a change map.

    Attributes:
        threshold: Probability above which the single channel of a head with one counts as
            "changed"; None for 0.5.
    """
    threshold: float | None = None

    @abstractmethod
    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return logits (N, classes, h, w) at the resolution of the head."""

    @abstractmethod
    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Return the losses by name over N samples, all with a mask."""

    @abstractmethod
    def predict(self, features: ChangeFeatures, metas: Sequence[Mapping]) -> Tensor:
        """Return logits (N, classes, H, W) at ``pad_shape`` of the metainfo."""


class DecodeHead(ChangeHead):
    """A decode head of MMSegmentation, which is given the maps alone.

    This is a view: the head itself stays in the model, under its own names in checkpoints.

    Args:
        head: The head.
    """

    def __init__(self, head: nn.Module) -> None:
        self.head = head
        heads = compat.import_mmseg_models().decode_heads
        self.known = isinstance(head, heads.decode_head.BaseDecodeHead)
        if self.known:
            self.threshold = head.threshold

    @property
    def title(self) -> str:
        """Name in messages."""
        return type(self.head).__name__

    def needs(self) -> Sequence[Need]:
        """Return the maps that the head takes, by its ``in_index`` and ``in_channels``."""
        if not self.known:
            return [Need('maps')]
        # MMSegmentation's three kinds of input: one map, a list of maps, maps concatenated (then
        # in_channels is their sum).
        head, levels = self.head, self.head.in_index
        if head.input_transform is None:
            return [Need('maps', (head.in_channels, ), 'in_channels', (levels, ))]
        joined = head.input_transform == 'resize_concat'
        width = head.in_channels if joined else tuple(head.in_channels)
        return [Need('maps', width, 'in_channels', tuple(levels), joined)]

    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return logits (N, classes, h, w)."""
        return self.head(features.maps)

    __call__ = forward

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Return what the head calls its losses."""
        return self.head.loss(features.maps, data_samples, {})  # its train_cfg, which none reads

    def predict(self, features: ChangeFeatures, metas: Sequence[Mapping]) -> Tensor:
        """Return logits (N, classes, H, W)."""
        return self.head.predict(features.maps, metas, {})


def as_change_head(head: nn.Module) -> ChangeHead:
    """Return a change head as it is, and a decode head of MMSegmentation as a change head."""
    return head if isinstance(head, ChangeHead) else DecodeHead(head)
