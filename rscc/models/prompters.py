"""Prompters: the class names that guide a language-guided fusion in every image."""
from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rscc.models.clip.classifier import CLIPClassifier
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample
from rscc.text.class_names import class_names as read_class_names
from rscc.utils.logging import warn_once

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
            Class names ``[N][T][K_i]``, likeliest first; an empty list says nothing about a date.
        """

    def answers_for_all(self) -> list[str] | None:
        """Return the class names that every new image gets; None where they depend on the image."""
        return None


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
        # A list of its own for every date: whoever adds to one changes no other.
        samples, dates = size
        return [[list(self.names) for _ in range(dates)] for _ in range(samples)]

    def answers_for_all(self) -> list[str]:
        """Return the names."""
        return list(self.names)

    def extra_repr(self) -> str:
        """Show the names when the model is printed."""
        return f'names={list(self.names)}'


@MODELS.register_module()
class StoredPrompts(Prompter):
    """The samples' own ``prompts``: those of a CLIP confidence file, for instance.

    Args:
        fallback: Config of the prompter for samples that have none; by default they get no class
            names. That it is used is said once in the log.
    """

    def __init__(self, fallback: dict | None = None) -> None:
        super().__init__()
        self.fallback = MODELS.build(fallback or dict(type='FixedPrompts'))
        self.needs_images = self.fallback.needs_images

    def answers_for_all(self) -> list[str] | None:
        """Return the fallback's: new images bring no names."""
        return self.fallback.answers_for_all()

    def forward(self, images: Tensor | None, data_samples: list[ChangeDataSample] | None,
                size: tuple[int, int]) -> Prompts:
        """Return what is stored, and the fallback's answer where nothing is.

        Raises:
            ValueError: If a sample has names for another number of dates.
        """
        # Names [T][K_i] of every sample that brings its own, None for the others.
        stored = [None] * size[0] if data_samples is None else [
            _stored(sample, size[1]) for sample in data_samples]
        rows = [row for row, names in enumerate(stored) if names is None]
        if not rows:
            return stored
        # The fallback sees those others alone, in a batch of their own.
        warn_once(f'samples without class names of their own get those of '
                  f'{type(self.fallback).__name__}', 20)
        answers = self.fallback(
            None if images is None else images[rows],
            None if data_samples is None else [data_samples[row] for row in rows],
            (len(rows), size[1]))
        for row, names in zip(rows, answers, strict=True):
            stored[row] = names
        return stored


def _stored(sample: ChangeDataSample, dates: int) -> list[list[str]] | None:
    names = sample.get('prompts')
    if names is not None and len(names) != dates:
        raise ValueError(f"sample '{sample.get('sample_id')}' has class names for {len(names)} "
                         f'date(s), and its images are of {dates}; give one list a date')
    return names


class _Shared(list):
    """A place that torch does not look into, and that copies of the model have in common."""

    def __deepcopy__(self, memo: dict) -> '_Shared':
        return self


@MODELS.register_module()
class CLIPPrompts(Prompter):
    """Zero-shot class names of every date from a frozen CLIP: no confidence file is needed.

    With the default arguments they are the names that ``tools/clip_inference.py`` stores, up to
    rounding. The classifier is loaded when it is first used. It is neither in ``parameters()`` nor
    in ``state_dict()`` of the detector, so checkpoints stay as small as they were; it moves with
    it, and copies of the detector (a running average, say) share it.

    Args:
        model: Architecture, ``'ViT-B/16'`` or ``'ViT-B-16'``; None takes what the file holds, or
            what the name says.
        pretrained: open_clip's tag, a name ``ARCH:TAG``, ``'remoteclip-rn50'`` or the like, a file,
            or the folder of a SigLIP, whose ranking is used like a CLIP's.
        class_names: The class list, or the names themselves.
        top: Number of names per date.
        quick_gelu: See :class:`rscc.models.clip.classifier.CLIPClassifier`.
    """
    needs_images = True

    def __init__(self, model: str | None = 'ViT-B/16', pretrained: str = 'openai',
                 class_names: str | Sequence[str] = 'remote_sensing_56', top: int = 9,
                 quick_gelu: bool | None = None) -> None:
        super().__init__()
        # A list's name or the names themselves; the options wait for the first use.
        names = (read_class_names(class_names) if isinstance(class_names, str)
                 else list(class_names))
        if not 1 <= top <= len(names):
            raise ValueError(f'top={top} of {len(names)} class names: expected 1 to {len(names)}')
        self.top = top
        self._options = dict(model=model, pretrained=pretrained, class_names=names,
                             quick_gelu=quick_gelu)
        self._classifier: list[CLIPClassifier] = _Shared()
        self.register_buffer('_place', torch.empty(0), persistent=False)

    @property
    def classifier(self) -> CLIPClassifier:
        """The CLIP, on the detector's device in its own precision; loaded on first use."""
        if not self._classifier:
            self._classifier.append(CLIPClassifier(**self._options))
        # Asked for every time: a copy of the detector, which shares it, may be elsewhere.
        return self._classifier[0].to(self._place.device)

    def forward(self, images: Tensor | None, data_samples: list[ChangeDataSample] | None = None,
                size: tuple[int, int] | None = None) -> Prompts:
        """Classify every date.

        Raises:
            ValueError: If there are no images.
        """
        if images is None:
            raise ValueError('CLIPPrompts looks at the images, found None; use FixedPrompts or '
                             'StoredPrompts where there are none')
        # Dates as single pictures (N*T, 3, H, W), classified, and their names regrouped by sample.
        probabilities = self.classifier(images.flatten(0, 1).float())
        names = self.classifier.top(probabilities, self.top)
        dates = images.shape[1]
        return [names[start:start + dates] for start in range(0, len(names), dates)]

    def extra_repr(self) -> str:
        """Show where the weights come from when the model is printed."""
        return f"model={self._options['model']}, pretrained={self._options['pretrained']}"
