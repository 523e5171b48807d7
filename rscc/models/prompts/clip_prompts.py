"""Class names that a CLIP model sees in the images, worked out on the fly."""
from collections.abc import Sequence

import torch
from torch import Tensor

from rscc.models.clip.classifier import CLIPClassifier
from rscc.models.prompts.prompter import Prompter, Prompts
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample
from rscc.text.class_names import class_names as read_class_names


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
        model: Architecture, ``'ViT-B/16'`` or ``'ViT-B-16'``; None takes what the file holds.
        pretrained: open_clip's tag, a name ``ARCH:TAG`` or a file.
        class_names: The class list, or the names themselves.
        top: Number of names per date.
        quick_gelu: See :class:`rscc.models.clip.classifier.CLIPClassifier`.
    """
    needs_images = True

    def __init__(self, model: str | None = 'ViT-B/16', pretrained: str = 'openai',
                 class_names: str | Sequence[str] = 'remote_sensing_56', top: int = 9,
                 quick_gelu: bool | None = None) -> None:
        super().__init__()
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
        probabilities = self.classifier(images.flatten(0, 1).float())
        names = self.classifier.top(probabilities, self.top)
        dates = images.shape[1]
        return [names[start:start + dates] for start in range(0, len(names), dates)]

    def extra_repr(self) -> str:
        """Show where the weights come from when the model is printed."""
        return f"model={self._options['model']}, pretrained={self._options['pretrained']}"
