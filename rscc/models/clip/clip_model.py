"""CLIP or SigLIP with both towers, as open_clip or transformers builds it, and as an embedder."""
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from rscc import compat
from rscc.models.attention import use_batch_first_attention
from rscc.models.clip.published import published
from rscc.models.clip.siglip import SiglipPair
from rscc.models.clip.towers import VisualTower, visual_tower
from rscc.models.clip.weight_files import is_weights, locate, read_weights, split_name
from rscc.models.clip.weights import check_activation
from rscc.models.encoders.clip import CLIPResNet, CLIPViT
from rscc.models.encoders.siglip import SiglipViT
from rscc.models.pretrained import fingerprint
from rscc.text.siglip_tokenizer import SiglipTokenizer
from rscc.text.subword_tokenizers import CLIPTokenizer
from rscc.utils import did_you_mean


@dataclass(frozen=True)
class CLIPModel:
    """A model with both towers and what belongs to it.

    Attributes:
        model: open_clip's model, or the pair of a SigLIP; float32, in evaluation mode.
        tokenizer: Sentences to token ids, as the text tower takes them.
        quick_gelu: Whether it computes QuickGELU; None for SigLIP, which has another activation.
        transform: open_clip's own preparation of a PIL picture: pixels (3, S, S), the short side
            resized, the centre cut out, standardised.
        description: What the image tower is, in words.
        fingerprint: 16 hex digits that tell these weights from others, whatever file they are in.
        image_size: Side S of the square that the tower sees, in pixels.
    """
    model: nn.Module
    tokenizer: Callable
    quick_gelu: bool | None
    transform: Any
    description: str
    fingerprint: str
    image_size: int


def load_clip(model: str | None, pretrained: str, quick_gelu: bool | None = None) -> CLIPModel:
    """Load a CLIP of any published kind.

    Args:
        model: Architecture as OpenAI (``'ViT-B/16'``) or open_clip (``'ViT-B-16'``) spell it; a
            file is checked against it. None takes what the file holds, or what the name says.
        pretrained: open_clip's tag of published weights, a full name ``ARCH:TAG``, a name of
            :mod:`rscc.models.clip.published`, a file, or a folder.
        quick_gelu: The activation; None takes what the weights were trained with and, where the
            file does not say, OpenAI's QuickGELU.

    Raises:
        FileNotFoundError, OSError, ValueError: If the weights cannot be had, hold another
            architecture than ``model``, or were trained with another activation.
    """
    clip, tokenizer, quick_gelu = _build(clip_source(model, pretrained), model, quick_gelu)
    if isinstance(clip, SiglipPair):
        return CLIPModel(clip.float().eval(), tokenizer, None, clip.transform,
                         description=f'SigLIP {clip.tower}', fingerprint=fingerprint(clip),
                         image_size=clip.visual.image_size)
    # float32 in evaluation mode; open_clip gives the size as a number or as (H, W).
    visual = clip.float().eval().visual
    use_batch_first_attention(clip)
    size = visual.image_size
    return CLIPModel(
        clip, tokenizer, quick_gelu, _open_clip_transform(clip),
        description=str(visual_tower(visual.state_dict()) or type(visual).__name__),
        fingerprint=fingerprint(clip), image_size=size[0] if isinstance(size, tuple) else size)


def clip_source(model: str | None, pretrained: str) -> str:
    """Join an architecture and a tag to ``ARCH:TAG``; keep a file, a folder or a full name."""
    plain_tag = (re.fullmatch(r'[\w-]+', pretrained) and not is_weights(pretrained)
                 and not published(pretrained))
    return f'{model}:{pretrained}' if model and plain_tag else pretrained


def default_model(pretrained: str, model: str) -> str | None:
    """Return ``model``, or None where the weights tell it: a file, a folder, a known name."""
    return None if is_weights(pretrained) or published(pretrained) else model


def _build(source: str, model: str | None, quick_gelu: bool | None
           ) -> tuple[nn.Module, Any, bool | None]:
    """Return the model, its tokenizer, and whether it computes QuickGELU."""
    if published(source) or is_weights(source):
        return _from_file(source, model, quick_gelu)
    # A name of open_clip, which knows its architecture, tokenizer and activation.
    known = locate(source).quick_gelu  # downloads, or says what is wrong
    arch, tag = split_name(source)
    open_clip = compat.import_open_clip()
    check_activation(source, known, quick_gelu)
    clip = open_clip.create_model(arch, pretrained=tag, force_quick_gelu=known)
    return clip, open_clip.get_tokenizer(arch), known


def _from_file(source: str, model: str | None, quick_gelu: bool | None
               ) -> tuple[nn.Module, Any, bool | None]:
    # What the file holds is compared with what was asked for before anything is built.
    weights = read_weights(source)
    entry = weights.origin.entry
    model = model or (entry.arch if entry and not entry.siglip else None)
    prefix = 'vision_model.' if weights.siglip else 'visual.'
    tower = visual_tower({key.removeprefix(prefix): value
                          for key, value in weights.state_dict.items() if key.startswith(prefix)})
    if weights.siglip:
        _check_siglip(source, model, quick_gelu)
        pair = SiglipPair(weights, tower)
        tokenizer = SiglipTokenizer(weights.origin.path, pair.text.context_length)
        return pair, tokenizer.batch_encode, None
    _check_architecture(source, model, tower)
    wanted = quick_gelu if quick_gelu is not None else weights.quick_gelu
    wanted = True if wanted is None else wanted
    check_activation(source, weights.quick_gelu, wanted, weights.origin.confirmed)
    try:
        clip = _clip_of_shapes(weights.state_dict, tower, wanted)
        clip.load_state_dict(weights.state_dict)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"CLIP weights '{source}' are no CLIP model of OpenAI's kind with image "
                         f'and text tower: {error}') from error
    return clip, CLIPTokenizer(clip.context_length).batch_encode, wanted


def _check_siglip(source: str, model: str | None, quick_gelu: bool | None) -> None:
    """Refuse options of a CLIP."""
    if model is not None and 'siglip' not in model.lower():
        raise ValueError(f"weights '{source}' are a SigLIP, and model='{model}' is a CLIP: leave "
                         'model out, or name weights of that model')
    if quick_gelu is not None:
        raise ValueError(f"weights '{source}' are a SigLIP, which has an activation of its own: "
                         f'leave quick_gelu={quick_gelu} out')


def _clip_of_shapes(state: Mapping[str, Tensor], tower: VisualTower | None, quick_gelu: bool
                    ) -> nn.Module:
    """Build open_clip's model for weights, whose names and shapes tell all but the heads.

    Raises:
        KeyError: If a tensor is missing that every CLIP has.
    """
    if tower is None:
        raise KeyError('its image tower is neither a ResNet nor a ViT of CLIP')
    # Image tower: a ResNet has a stride of 32 and heads of 64 channels, as most ViTs.
    table = state['visual.attnpool.positional_embedding' if tower.patch is None else
                  'visual.positional_embedding']
    shape = dict(layers=tower.layers, width=tower.width, patch_size=tower.patch,
                 image_size=isqrt(len(table) - 1) * (tower.patch or 32))
    if tower.patch is not None:
        hidden = len(state['visual.transformer.resblocks.0.mlp.c_fc.weight'])
        shape.update(head_width=tower.width // tower.heads, mlp_ratio=hidden / tower.width)
    # Text tower: 64 channels a head in every published CLIP.
    width, embed_dim = state['text_projection'].shape
    layers = {key.split('.')[2] for key in state if key.startswith('transformer.resblocks.')}
    library = compat.import_open_clip('model')
    return library.CLIP(
        embed_dim, library.CLIPVisionCfg(**shape), library.CLIPTextCfg(
            context_length=len(state['positional_embedding']), width=width,
            vocab_size=len(state['token_embedding.weight']), heads=width // 64,
            layers=len(layers)),
        quick_gelu=quick_gelu, init_logit_bias=0.0 if 'logit_bias' in state else None)


def _check_architecture(source: str, model: str | None, found: VisualTower | None) -> None:
    """Refuse a file that is not the architecture asked for: its scores would bear a wrong name."""
    if model is None:
        return
    factory = compat.import_open_clip('factory')
    config = factory.get_model_config(model.replace('/', '-'))
    if config is None:
        raise ValueError(f"open_clip has no architecture '{model}'."
                         f'{did_you_mean(model.replace("/", "-"), factory.list_models())}')
    vision = config['vision_cfg']
    # A ResNet's layers are listed stage by stage, and it has no patches.
    layers = vision.get('layers')
    wanted = VisualTower(tuple(layers) if isinstance(layers, list) else layers, vision.get('width'),
                         None if isinstance(layers, list) else vision.get('patch_size'))
    if found != wanted:
        raise ValueError(f"CLIP weights '{source}' hold a {found}, and model='{model}' is a "
                         f'{wanted}. Name the weights of that model, or the model of these weights')


def _open_clip_transform(clip: nn.Module) -> Any:
    """Return open_clip's evaluation transform of a model; its last step standardises."""
    library = compat.import_open_clip('model')
    transform = compat.import_open_clip('transform')
    return transform.image_transform_v2(
        transform.PreprocessCfg(**library.get_model_preprocess_cfg(clip)), is_train=False)


class CLIPEmbedder(nn.Module):
    """Image features of a CLIP or SigLIP, as their encoders give them to a model.

    Nothing is trainable, and the module stays in evaluation mode.

    Args:
        model: Architecture, see :func:`rscc.models.clip.clip_model.load_clip`.
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
        # Patches of the ViT, or places of the ResNet's last stage, in the square that it sees.
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


def _encoder_of(loaded: CLIPModel) -> CLIPViT | CLIPResNet | SiglipViT:
    """Put the image tower into the encoder that reads dense features from it."""
    visual, size = loaded.model.visual, loaded.image_size
    if isinstance(loaded.model, SiglipPair):
        config = visual.vision_model.config
        encoder = SiglipViT(
            config.hidden_size, config.num_hidden_layers, config.num_attention_heads,
            config.patch_size, size, config.intermediate_size, out_indices=(), pyramid=False)
        encoder.visual.load_state_dict(visual.vision_model.state_dict())
        return encoder
    tower = visual_tower(visual.state_dict())
    if tower is None:
        raise ValueError(f"features of '{loaded.description}' cannot be stored: only those of "
                         "CLIP's own ViT and ResNet are known here")
    # An encoder of the same shape, and then the very same weights.
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


def _preparation_of(loaded: CLIPModel) -> dict:
    """Describe open_clip's preparation in words and numbers."""
    *geometry, standardise = loaded.transform.transforms
    squashed = isinstance(geometry[0].size, tuple | list)  # both sides; a number is the short one
    return dict(size=loaded.image_size,
                resize='both sides, bicubic' if squashed else 'short side, bicubic',
                crop='none' if squashed else 'centre',
                mean=[float(value) for value in standardise.mean],
                std=[float(value) for value in standardise.std])
