"""The same class names for every image, or none."""
from collections.abc import Sequence

from torch import Tensor

from rscc.models.prompts.prompter import Prompter, Prompts
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample


@MODELS.register_module()
class FixedPrompts(Prompter):
    """A fixed list of class names, told to the model about every date.

    Args:
        names: The names; none at all by default.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        super().__init__()
        if isinstance(names, str):
            raise TypeError(f"FixedPrompts takes a list of class names, found the string '{names}';"
                            f" write names=['{names}']")
        self.names = tuple(names)

    def forward(self, images: Tensor | None, data_samples: list[ChangeDataSample] | None,
                size: tuple[int, int]) -> Prompts:
        """Return the names for all N x T dates."""
        samples, dates = size
        return [[list(self.names) for _ in range(dates)] for _ in range(samples)]

    def extra_repr(self) -> str:
        """Show the names when the model is printed."""
        return f'names={list(self.names)}'
