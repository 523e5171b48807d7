"""A frozen CLIP image tower that turns pictures into features to be stored."""
import torch
from torch import Tensor, nn

from rscc.models.clip.architecture import visual_tower
from rscc.models.clip.whole import WholeCLIP, load_clip
from rscc.models.encoders.clip_resnet import CLIPResNet
from rscc.models.encoders.clip_vit import CLIPViT


class CLIPEmbedder(nn.Module):
    """CLIP's image features, as ``CLIPViT`` and ``CLIPResNet`` give them to a model.

    Nothing is trainable, and the module stays in evaluation mode.

    Args:
        model: Architecture, see :func:`rscc.models.clip.whole.load_clip`.
        pretrained: Weights, see there.
        quick_gelu: Activation, see there.

    Attributes:
        facts: What the features depend on, as JSON values.
        transform: Preparation of a PIL picture: pixels (3, S, S).
        token_grid: (h, w) of the patches' features.
        device: Where it is.

    Raises:
        FileNotFoundError, OSError, ValueError: As ``load_clip``.
    """

    def __init__(self, model: str | None = 'ViT-B/32', pretrained: str = 'openai',
                 quick_gelu: bool | None = None) -> None:
        super().__init__()
        loaded = load_clip(model, pretrained, quick_gelu)
        self.transform = loaded.transform
        self.encoder = _encoder_of(loaded)
        stride = 32 if isinstance(self.encoder, CLIPResNet) else self.encoder.divisor
        self.token_grid = (loaded.image_size // stride,) * 2
        self.facts = dict(
            model=model or loaded.description.split(' (')[0], architecture=loaded.description,
            weights=loaded.fingerprint, quick_gelu=loaded.quick_gelu,
            preprocessing=_preparation_of(loaded), normalised=False)
        self.requires_grad_(False)
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> 'CLIPEmbedder':
        """Stay in evaluation mode: nothing here learns."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled (M, D) and tokens (M, h*w, D) of prepared pixels (M, 3, S, S), float32."""
        features = self.encoder.encode(prepared)
        return features.pooled.float(), features.tokens.float()


def _encoder_of(loaded: WholeCLIP) -> CLIPViT | CLIPResNet:
    """Put the image tower into the encoder that reads dense features from it."""
    visual, size = loaded.model.visual, loaded.image_size
    tower = visual_tower(visual.state_dict())
    if tower is None:
        raise ValueError(f"features of '{loaded.description}' cannot be stored: only those of "
                         "CLIP's own ViT and ResNet are known here")
    if tower.patch is None:
        encoder = CLIPResNet(tower.layers, tower.width, visual.attnpool.num_heads,
                             visual.output_dim, size)
    else:
        encoder = CLIPViT(
            width=tower.width, layers=tower.layers, patch_size=tower.patch,
            heads=visual.transformer.resblocks[0].attn.num_heads, output_dim=visual.output_dim,
            input_resolution=size, out_indices=(), pyramid=False, drop_path_rate=0.0,
            quick_gelu=loaded.quick_gelu)
    encoder.visual.load_state_dict(visual.state_dict())
    return encoder


def _preparation_of(loaded: WholeCLIP) -> dict:
    """Describe open_clip's preparation in words and numbers."""
    standardise = loaded.transform.transforms[-1]
    return dict(size=loaded.image_size, resize='short side, bicubic', crop='centre',
                mean=[float(value) for value in standardise.mean],
                std=[float(value) for value in standardise.std])
