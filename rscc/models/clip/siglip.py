"""SigLIP's text encoder, with learnable context before the words, and both towers as one model.

Papers: Zhai et al., Sigmoid Loss for Language Image Pre-Training, ICCV 2023,
https://arxiv.org/abs/2303.15343; Zhou et al., Learning to Prompt for Vision-Language Models, IJCV
2022, https://arxiv.org/abs/2109.01134 (the context).
"""
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc import compat
from rscc.models.clip.towers import VisualTower
from rscc.models.clip.weight_files import CLIPWeights
from rscc.models.clip.weights import load_siglip, siglip_config
from rscc.registry import MODELS, Part

_PAD = 1  # the end token, which also fills up the 64 positions


@MODELS.register_module()
class SiglipTextEncoder(Part, nn.Module):
    """Token ids to one vector per text, in SigLIP's joint space.

    Every sequence is ``contexts, words, end, padding`` and fills all positions: the vector is read
    at the last one, whatever stands there, and attention goes both ways, as SigLIP was trained. The
    modules are transformers', so ``text.*`` has the key names of published files without
    ``text_model.``. Defaults are those of Git-RSCLIP.

    Args:
        context_length: Number of positions, contexts included.
        vocab_size: Number of token ids.
        width: Width of the transformer, and of the contexts.
        heads: Attention heads of every block.
        layers: Number of blocks.
        embed_dim: Width of the joint space.
        mlp_width: Inner width of every block's MLP; four times ``width`` unless given.
        pretrained: SigLIP weights: a folder or file with transformers' names, or ``'git-rsclip'``;
            see ``rscc.models.clip.weights``.

    Attributes:
        truncate: Always False: every position takes part.
        family: Whose token ids it reads.
        space: Identity of the weights, see ``FeatureSpec.space``; None for random ones.
    """

    PRETRAINED_OPTIONAL: ClassVar[bool] = True
    family: ClassVar[str] = 'siglip'

    def __init__(self, context_length: int = 64, vocab_size: int = 32000, width: int = 1024,
                 heads: int = 16, layers: int = 24, embed_dim: int = 1024,
                 mlp_width: int | None = None, pretrained: str | None = None) -> None:
        super().__init__()
        self.context_length, self.vocab_size = context_length, vocab_size
        self.width, self.embed_dim, self.truncate = width, embed_dim, False
        library = compat.import_transformers('models.siglip')
        self.text = library.SiglipTextModel(library.SiglipTextConfig(
            vocab_size=vocab_size, hidden_size=width, intermediate_size=mlp_width or 4 * width,
            num_hidden_layers=layers, num_attention_heads=heads, projection_size=embed_dim,
            max_position_embeddings=context_length, bos_token_id=None, eos_token_id=_PAD,
            pad_token_id=_PAD))
        self.space = None
        if pretrained is not None:
            self.space = load_siglip(self.text, pretrained, 'text_model').facts.identity

    def forward(self, ids: Tensor, contexts: Tensor | None = None) -> Tensor:
        """Encode S texts.

        Args:
            ids: Token ids (S, L), filled up with the end token.
            contexts: Context embeddings (P, width) shared by all texts, or None.

        Returns:
            One vector per text (S, embed_dim), not normalised.

        Raises:
            ValueError: If contexts and tokens together need more than ``context_length`` positions.
        """
        extra = 0 if contexts is None else len(contexts)
        room = self.context_length - extra
        if ids.shape[1] > room:
            raise ValueError(
                f'{ids.shape[1]} tokens and {extra} contexts need {ids.shape[1] + extra} positions,'
                f' and the text encoder has context_length={self.context_length}: give the '
                f'tokenizer context_length={room} or shorten the text')
        # Contexts, words, end and padding as (S, context_length, width), each at its position.
        embeddings = self.text.embeddings
        words = embeddings.token_embedding(
            F.pad(ids, (0, room - ids.shape[1]), value=_PAD).to(
                embeddings.token_embedding.weight.device))
        if contexts is not None:
            words = torch.cat([contexts.to(words.dtype).expand(len(words), -1, -1), words], 1)
        hidden = words + embeddings.position_embedding.weight
        hidden = self.text.encoder(inputs_embeds=hidden).last_hidden_state
        return self.text.head(self.text.final_layer_norm(hidden[:, -1]))


class SiglipImageTower(nn.Module):
    """SigLIP's image tower alone: prepared pixels to one vector an image.

    Args:
        vision_model: transformers' ``SiglipVisionModel``.
    """

    def __init__(self, vision_model: nn.Module) -> None:
        super().__init__()
        self.vision_model = vision_model
        self.image_size = vision_model.config.image_size

    def forward(self, images: Tensor) -> Tensor:
        """Return vectors (M, C), not normalised, of pixels (M, 3, S, S)."""
        return self.vision_model(images).pooler_output


class SiglipPair(nn.Module):
    """Both towers of a published SigLIP, with the methods that open_clip gives its models.

    Args:
        weights: From a folder of transformers, whose ``config.json`` tells the heads.
        tower: What the image tower was recognised as.

    Attributes:
        logit_scale, logit_bias: A pair's score is ``sigmoid(exp(logit_scale) * cos + logit_bias)``.

    Raises:
        FileNotFoundError: If there is no ``config.json`` beside the weights.
        ValueError: If the weights do not fit it.
    """

    def __init__(self, weights: CLIPWeights, tower: VisualTower) -> None:
        super().__init__()
        self.tower, self.statistics = tower, weights.facts.normalisation
        config = siglip_config(weights)
        if config is None:
            raise FileNotFoundError(f"no config.json beside '{weights.origin.path}', which tells "
                                    'the architecture of a SigLIP: fetch the whole folder')
        library, text = compat.import_transformers('models.siglip'), config.text_config
        vision_model = library.SiglipVisionModel(config.vision_config)
        load_siglip(vision_model, weights.source, 'vision_model')
        self.visual = SiglipImageTower(vision_model)
        self.text = SiglipTextEncoder(
            text.max_position_embeddings, text.vocab_size, text.hidden_size,
            text.num_attention_heads, text.num_hidden_layers, text.projection_size,
            text.intermediate_size, weights.source)
        for name in ('logit_scale', 'logit_bias'):
            self.register_parameter(name, nn.Parameter(weights.state_dict[name].clone()))

    def encode_text(self, ids: Tensor, normalize: bool = False) -> Tensor:
        """Return one vector per text (S, C), of length 1 if asked for."""
        vectors = self.text(ids)
        return F.normalize(vectors, dim=-1) if normalize else vectors

    @property
    def transform(self) -> Any:
        """SigLIP's preparation of a PIL picture: squashed to its square, then standardised."""
        library = compat.import_open_clip('transform')
        return library.image_transform_v2(library.PreprocessCfg(
            size=self.visual.image_size, mode='RGB', mean=self.statistics.mean,
            std=self.statistics.std, interpolation='bicubic', resize_mode='squash'),
            is_train=False)
