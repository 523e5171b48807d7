"""What every prompter shares."""
from abc import ABCMeta, abstractmethod

from torch import Tensor, nn

from rscc.structures import ChangeDataSample

#: Class names by sample and date, likeliest first: [N][T][K_i].
Prompts = list[list[list[str]]]


class Prompter(nn.Module, metaclass=ABCMeta):
    """Names the classes that every date of every sample shows; the fusion makes sentences of them.

    Attributes:
        needs_images: Whether ``forward`` looks at the images; the interpreter gives none otherwise.
    """
    needs_images = False

    @abstractmethod
    def forward(self, images: Tensor | None, data_samples: list[ChangeDataSample] | None,
                size: tuple[int, int]) -> Prompts:
        """Name the classes.

        Args:
            images: RGB 0 to 1, (N, T, 3, H, W); None where ``needs_images`` is False.
            data_samples: The N samples, or None.
            size: (N, T).

        Returns:
            Class names [N][T][K_i], likeliest first; an empty list says nothing about a date.
        """
