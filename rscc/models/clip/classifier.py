"""Zero-shot classification by a frozen CLIP."""
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from rscc.models.clip.clip_model import load_clip
from rscc.text.class_names import class_names as read_class_names


class CLIPClassifier(nn.Module):
    """Zero-shot classification (Radford et al., ICML 2021) by bare class names, without a template.

    The names are encoded once, then only the image tower is kept. Nothing is trainable, and the
    module stays in evaluation mode.

    CLIP was trained by a softmax: its probabilities of all names add up to 1. SigLIP was trained by
    a sigmoid: each name has a probability of its own, however many names there are, and all of them
    may be small. The ranking is that of the cosines either way.

    Args:
        model: Architecture as OpenAI (``'ViT-B/16'``) or open_clip (``'ViT-B-16'``) spell it; a
            file is checked against it. None takes what the file holds, or what the name says.
        pretrained: open_clip's tag of published weights, a full name ``ARCH:TAG``, a name of
            :mod:`rscc.models.clip.published`, a file, or a folder.
        class_names: Names, or the list that holds them, see
            :func:`rscc.text.class_names.class_names`.
        quick_gelu: The activation; None takes what the weights were trained with and, where the
            file does not say, OpenAI's QuickGELU.
        template: Text in which ``{}`` stands for a name.

    Attributes:
        names: The K class names.
        scores: ``'softmax'`` or ``'sigmoid'``, what the probabilities are.
        description: What the image tower is, in words.
        fingerprint: 16 hex digits that tell these weights from others, whatever file they are in.
        image_size: Side of the square that the tower sees, in pixels.
        transform: open_clip's own preparation of a PIL picture: pixels (3, S, S), the short side
            resized, the centre cut out, standardised.

    Raises:
        FileNotFoundError, OSError, ValueError: If the weights cannot be had, hold another
            architecture than ``model``, or were trained with another activation.
    """

    def __init__(self, model: str | None = 'ViT-B/16', pretrained: str = 'openai',
                 class_names: str | Sequence[str] = 'remote_sensing_56',
                 quick_gelu: bool | None = None, template: str = '{}') -> None:
        super().__init__()
        if '{}' not in template:
            raise ValueError(f"template='{template}' has no {{}} where the class name belongs")
        self.names = (read_class_names(class_names) if isinstance(class_names, str)
                      else list(class_names))
        loaded = load_clip(model, pretrained, quick_gelu)
        self.quick_gelu, self.transform = loaded.quick_gelu, loaded.transform
        self.description, self.fingerprint = loaded.description, loaded.fingerprint
        self.image_size = loaded.image_size
        clip, tokenizer = loaded.model, loaded.tokenizer
        # Class names once through the text tower, (K, C), with the temperature inside.
        with torch.no_grad():
            texts = clip.encode_text(tokenizer([template.replace('{}', name)
                                                for name in self.names]), normalize=True)
            scale, bias = clip.logit_scale.exp(), clip.logit_bias
        self.scores = 'softmax' if bias is None else 'sigmoid'
        self.visual = clip.visual
        self.register_buffer('weights', texts * scale, persistent=False)
        self.register_buffer('bias', texts.new_zeros(()) if bias is None else bias.detach(),
                             persistent=False)
        self.requires_grad_(False)
        self.eval()

    @property
    def activation(self) -> str:
        """Name of the activation."""
        return {True: 'QuickGELU', False: 'exact GELU', None: "SigLIP's GELU"}[self.quick_gelu]

    def train(self, mode: bool = True) -> 'CLIPClassifier':
        """Stay in evaluation mode: nothing here learns."""
        return super().train(False)

    def prepare(self, images: Tensor) -> Tensor:
        """Prepare pictures of one size on their own device.

        The steps are those of ``transform``, so the results agree up to its rounding to bytes.

        Args:
            images: RGB 0 to 1, (M, 3, H, W), any size.

        Returns:
            Normalised pixels (M, 3, S, S).
        """
        # open_clip's steps: resize and centre crop, then standardise.
        *geometry, standardise = self.transform.transforms
        for step in geometry:
            images = step(images)
        return standardise(images.clamp(0, 1))  # bicubic resizing overshoots at edges

    def forward(self, images: Tensor) -> Tensor:
        """Classify pictures.

        Args:
            images: RGB 0 to 1, (M, 3, H, W), any size.

        Returns:
            Probabilities (M, K), float32.
        """
        return self.classify(self.prepare(images))

    @torch.no_grad()
    def classify(self, prepared: Tensor) -> Tensor:
        """Return probabilities (M, K), float32, of prepared pixels (M, 3, S, S)."""
        # Image vectors (M, C); some towers of open_clip return their tokens beside them.
        features = self.visual(prepared)
        features = features[0] if isinstance(features, tuple) else features
        # Logits reach 100, where reduced precision would make ties of unlike classes.
        with torch.autocast(prepared.device.type, enabled=False):
            logits = normalize(features.float(), dim=-1) @ self.weights.T + self.bias
            return logits.softmax(-1) if self.scores == 'softmax' else logits.sigmoid()

    def top(self, probabilities: Tensor, k: int | None = None) -> list[list[str]]:
        """Return the k likeliest names of every row, all of them unless k is given.

        Names of equal probability keep the order of the class list.
        """
        order = ranking(probabilities)[:, :k]
        return [[self.names[index] for index in row] for row in order.tolist()]


def ranking(probabilities: Tensor) -> Tensor:
    """Return indices (M, K) by descending probability; ties keep their order."""
    return probabilities.sort(dim=-1, descending=True, stable=True).indices
