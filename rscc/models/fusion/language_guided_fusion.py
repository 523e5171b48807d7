"""ChangeCLIP's fusion: texts attend to the images, score maps and differences guide the features.

Papers: Rao et al., DenseCLIP, CVPR 2022, https://arxiv.org/abs/2112.01518 (vision-to-language
prompting, score maps); Dong et al., ChangeCLIP: Remote sensing change detection with multimodal
vision-language representation learning, ISPRS J. 208 (2024) 53-69,
https://doi.org/10.1016/j.isprsjprs.2024.01.004 (the rest).
"""
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.attention import merge_heads, split_heads
from rscc.models.contracts import FeatureSpec, Need, after_neck
from rscc.models.fusion.base import Fusion, group_grid, join_dates, times
from rscc.models.fusion.prompt_encoder import PromptEncoder
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


class ContextDecoder(nn.Module):
    """A small transformer decoder: texts attend to each other, then to the visual tokens.

    Args:
        channels: Width C of texts and visual tokens.
        width: Inner width.
        heads: Attention heads.
        layers: Number of layers.
        dropout: After every sub-layer and inside the feed-forward part.
    """

    def __init__(self, channels: int, width: int = 256, heads: int = 4, layers: int = 3,
                 dropout: float = 0.1) -> None:
        super().__init__()
        self.memory_proj = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, width), nn.LayerNorm(width))
        self.text_proj = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        self.out_proj = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, channels))
        self.apply(_initialise)

    def forward(self, text: Tensor, visual: Tensor) -> Tensor:
        """Return what the image adds to each text.

        Args:
            text: Text embeddings (M, K, C).
            visual: Visual tokens (M, L, C) of the same images.

        Returns:
            (M, K, C).
        """
        # Both to the inner width: tokens (M, L, width) are the memory, texts (M, K, width) ask.
        memory, text = self.memory_proj(visual), self.text_proj(text)
        for layer in self.layers:
            text = layer(text, memory)
        return self.out_proj(text)


class _Layer(nn.Module):
    """Pre-norm decoder layer: texts attend to each other, to the memory, then think it over."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.self_attn, self.cross_attn = _Attention(width, heads), _Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor, memory: Tensor) -> Tensor:
        normed = self.norm1(text)
        text = text + self.dropout(self.self_attn(normed, normed))
        text = text + self.dropout(self.cross_attn(self.norm2(text), memory))
        return text + self.dropout(self.mlp(self.norm3(text)))


class _Attention(nn.Module):
    """Multi-head attention without biases on queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f'context_decoder: width={width} cannot be divided among '
                             f'heads={heads}')
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(width, width, bias=False) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        # Heads first: (M, heads, L, width / heads).
        q, k, v = (split_heads(layer(tokens), self.heads)
                   for layer, tokens in ((self.q_proj, queries), (self.k_proj, memory),
                                         (self.v_proj, memory)))
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.proj(merge_heads(attended))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class DifferenceCompensation(nn.Module):
    """Join the fused features of one level with their differences, channels weighted.

    The gate ``sigmoid(1 - cos(from, to))`` lies between 0.5 (same) and 0.881 (opposite): it
    stresses what differs and never removes what does not.

    Args:
        in_channels: Channels of one date's features.
        channels: Channels of the fused features, and of the result.
        reduction: Division of the channels in the squeeze of the channel attention.
    """

    def __init__(self, in_channels: int, channels: int = 256, reduction: int = 16) -> None:
        super().__init__()
        self.difference = nn.Conv2d(in_channels, channels, 1)
        joined = 3 * channels
        self.squeeze = nn.Conv2d(joined, joined // reduction, 1)
        self.excite = nn.Conv2d(joined // reduction, joined, 1)
        self.project = nn.Conv2d(joined, channels, 1)
        for layer in (self.difference, self.squeeze, self.excite, self.project):
            nn.init.kaiming_normal_(layer.weight, mode='fan_out', nonlinearity='relu')
            nn.init.zeros_(layer.bias)

    def forward(self, img_from: Tensor, img_to: Tensor, fused: Tensor) -> Tensor:
        """Compensate one level.

        Args:
            img_from: Features of the earlier date (N, in_channels, h, w).
            img_to: Features of the later date.
            fused: Features of both (N, channels, h, w).

        Returns:
            (N, channels, h, w), not negative.
        """
        # Fused features stressed where the dates differ, the difference itself, fused features as
        # they are: (N, 3 * channels, h, w), in the precision of the fused ones.
        difference = F.relu(self.difference((img_from - img_to).abs()))
        stressed = fused * self.gate(img_from, img_to).to(fused.dtype)
        joined = torch.cat([stressed, difference, fused], dim=1)
        # Squeeze and excitation: one weight a channel, (N, 3 * channels, 1, 1).
        pooled = joined.mean((2, 3), keepdim=True)
        weights = F.hardsigmoid(self.excite(F.relu(self.squeeze(pooled))))
        return F.relu(self.project(joined * weights))

    @staticmethod
    def gate(img_from: Tensor, img_to: Tensor) -> Tensor:
        """Return how much each position stands out, (N, 1, h, w) from 0.5 to 0.881."""
        return torch.sigmoid(1 - F.cosine_similarity(img_from, img_to, dim=1, eps=1e-8))[:, None]


PROMPTS_AT_TEST = ('own', 'from')


@MODELS.register_module()
class LanguageGuidedFusion(Fusion):
    """Guide the fusion of two dates by sentences about what is in them.

    Per date: sentences are embedded, updated by attention to the image (``text + gamma *
    decoder(text, image)``), and compared with every position; these score maps join the features of
    one level. Per level: an FPN fuses both dates and DFC adds their differences.

    For caption heads the visual tokens are handed on: earlier, later, and their difference. Nothing
    marks which are which; a model that writes sentences takes another fusion as its ``memory``.

    Args:
        in_channels: Channels of the encoder's maps, fine to coarse, without score maps.
        text_channels: Width of the encoder's tokens, of its pooled vector and of the texts.
        prompt_encoder: Fields of ``PromptEncoder``.
        context_decoder: Fields of ``ContextDecoder`` but ``channels``.
        score_level: Level whose stride is that of the tokens; score maps join it.
        channels: Channels of the fused maps.
        reduction: Of the channel attention in DFC.
        gamma: First value of the weight of the context decoder.
        neck: Config of the neck over the joined dates; ``mmseg.FPN`` unless given.
        prompts_at_test: ``'own'`` class names for each date, as in training; ``'from'`` gives both
            dates those of the earlier one, as the published evaluation did by mistake.
        memory: Config of the fusion whose tokens and pooled vectors caption and flag heads read in
            place of those above, ``DifferenceFusion`` for instance; it reads the encoder's.
    """
    otherwise = 'SingleFrame for one'

    def __init__(self, in_channels: Sequence[int], text_channels: int, prompt_encoder: Mapping,
                 context_decoder: Mapping | None = None, score_level: int = -1,
                 channels: int = 256, reduction: int = 16, gamma: float = 1e-4,
                 neck: Mapping | None = None, prompts_at_test: str = 'own',
                 memory: Mapping | None = None) -> None:
        super().__init__()
        if prompts_at_test not in PROMPTS_AT_TEST:
            raise ValueError(f"prompts_at_test is one of {list(PROMPTS_AT_TEST)}, found "
                             f"'{prompts_at_test}'")
        self.prompts_at_test = prompts_at_test
        self.prompt_encoder = PromptEncoder(**prompt_encoder)
        width = self.prompt_encoder.text_encoder.embed_dim
        if width != text_channels:
            raise ValueError(
                f'LanguageGuidedFusion reads texts of width {text_channels} (text_channels) and '
                f'{type(self.prompt_encoder.text_encoder).__name__} gives {width}: set '
                f'embed_dim={text_channels} there')
        self.context_decoder = ContextDecoder(text_channels, **(context_decoder or {}))
        self.gamma = nn.Parameter(torch.full((text_channels,), gamma))
        self.in_channels, self.text_channels = tuple(in_channels), text_channels
        self.channels = channels
        # Score maps of both sentences widen the level that they join.
        widths = list(in_channels)
        self.score_level = score_level % len(widths)
        widths[self.score_level] += 2  # one score map a sentence
        self.neck = MODELS.build(neck or dict(
            type='mmseg.FPN', in_channels=[2 * width for width in widths], out_channels=channels,
            num_outs=len(widths)))
        self.levels = nn.ModuleList(
            DifferenceCompensation(width, channels, reduction) for width in widths)
        self.memory = MODELS.build(memory) if memory else None
        self.register_buffer('fixed_texts', None, persistent=False)

    @torch.no_grad()
    def fix_texts(self, names: list[list[str]]) -> None:
        """Embed the class names of every date once, for all samples to come: no text is read again.

        Args:
            names: Class names ``[T][any number]``.
        """
        if self.prompts_at_test == 'from':
            names = [names[0]] * len(names)
        self.fixed_texts = self.prompt_encoder([names]).clone()

    def needs(self) -> Sequence[Need]:
        """Return maps, and tokens and pooled vectors in the space of the texts."""
        return [Need('maps', self.in_channels, 'in_channels'),
                Need('tokens', self.text_channels, 'text_channels', placed=True),
                Need('pooled', self.text_channels, 'text_channels')]

    def misfit(self, given: FeatureSpec) -> str:
        """Also compare the weights of both towers, and the strides of score maps and tokens."""
        misfit = super().misfit(given)
        if self.memory is not None and not misfit:  # it gets tokens and pooled vectors alone
            misfit = self.memory.misfit(replace(given, maps=(), strides=()))
        space = self.prompt_encoder.text_encoder.space
        if None not in (space, given.space) and space != given.space:
            return (f'the image tower of {given.source} and the text encoder of '
                    'LanguageGuidedFusion have weights of different trainings, so that images and '
                    'texts cannot be compared: give both the same pretrained')
        if misfit or not given.strides or given.token_stride is None:
            return misfit
        stride, level = given.strides[self.score_level], self.score_level
        if stride == given.token_stride:
            return ''
        return (f'LanguageGuidedFusion joins score maps to map {level} (score_level), of stride '
                f'{stride}, and the tokens of {given.source} have stride {given.token_stride}: '
                f'the strides of its maps are {given.strides}, choose the level of the same')

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return maps of one width, texts, and three times the width of the texts pooled.

        With a ``memory`` tokens and pooled vectors are as wide as it makes them.

        Raises:
            ValueError: If the neck inside gives maps of another width or number.
        """
        # The neck reads both dates side by side, one level with a score map a sentence and date.
        joined = list(self.in_channels)
        joined[self.score_level] += 2
        fused = after_neck(self.neck, replace(frames, maps=times(2, tuple(joined))))
        maps = (self.channels, ) * len(joined)
        misfit = Need('maps', maps, 'channels').misfit('LanguageGuidedFusion', fused)
        if misfit:
            raise ValueError(misfit)
        memory = (replace(frames, pooled=times(3, self.text_channels)) if self.memory is None else
                  self.memory.gives(replace(frames, maps=(), strides=()), time_steps))
        return replace(memory, source='LanguageGuidedFusion', maps=maps, strides=frames.strides,
                       text=self.text_channels, time_steps=time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse two dates.

        Returns:
            ``maps`` (N, channels, h_i, w_i), ``text`` (N, 2, 2, C), ``tokens`` (N, 3*h*w, C),
            ``pooled`` (N, 3*C); the last two as ``memory`` makes them, if there is one.
        """
        # Texts of every date that have seen its image, (N, 2, 2, C); a class token has no place.
        rows, columns = features.token_grid
        tokens = features.tokens[:, :, -rows * columns:]
        text = self.guide(tokens, features.pooled, self._names(features))
        # Their score maps join one level: (N, 2, C_i + 2, h, w).
        maps = list(features.maps)
        level = maps[self.score_level]
        maps[self.score_level] = _beside(
            level, self._scores(tokens, text, features.token_grid, level))
        # The neck over both dates, (N, 2 * C_i, h_i, w_i), then DFC level by level.
        fused = self.neck([join_dates(level) for level in maps])
        compensated = [layer(level[:, 0], level[:, 1], both) for layer, level, both in
                       zip(self.levels, maps, fused, strict=True)]
        # For other heads: tokens and pooled vectors, without the maps, which they do not read.
        others = self._memory(replace(features, maps=[], tokens=tokens))
        return replace(others, maps=compensated, text=text)

    def _memory(self, features: FrameFeatures) -> ChangeFeatures:
        """Return tokens and pooled vectors of both dates for heads that read these."""
        if self.memory is not None:
            return self.memory(features)
        # Earlier, later and their difference.
        tokens = _with_difference(features.tokens)
        pooled = _with_difference(features.pooled[:, :, None])
        return ChangeFeatures(tokens=tokens, pooled=pooled.flatten(1),
                              token_grid=group_grid(features, 3))

    def guide(self, tokens: Tensor, pooled: Tensor, prompts: list[list[list[str]]]) -> Tensor:
        """Return the texts of every date, updated by its image.

        Args:
            tokens: Visual tokens (N, T, L, C).
            pooled: One vector a date (N, T, C).
            prompts: Class names ``[N][T][any number]``.

        Returns:
            (N, T, 2, C), background first.
        """
        # text + gamma * decoder(text, [pooled, tokens]); dates are samples to the decoder.
        text = (self.prompt_encoder(prompts) if self.fixed_texts is None else
                self.fixed_texts.expand(tokens.shape[0], -1, -1, -1))
        visual = torch.cat([pooled[:, :, None], tokens], dim=2)
        update = self.context_decoder(text.flatten(0, 1), visual.flatten(0, 1))
        return text + self.gamma * update.unflatten(0, text.shape[:2])

    def _names(self, features: FrameFeatures) -> list[list[list[str]]]:
        """Return the class names to use, none where nobody named any."""
        if self.fixed_texts is not None:
            return []
        count, dates = features.tokens.shape[:2]
        # Without a prompter both sentences stand alone: background, foreground.
        if features.prompts is None:
            return [[[] for _ in range(dates)] for _ in range(count)]
        if self.prompts_at_test == 'from' and not self.training:
            return [[names[0]] * dates for names in features.prompts]
        return features.prompts

    @staticmethod
    def _scores(tokens: Tensor, text: Tensor, grid: tuple[int, int], level: Tensor) -> Tensor:
        """Return the cosine of every position with every text, (N, T, 2, h, w)."""
        if tuple(level.shape[-2:]) != tuple(grid):
            raise ValueError(f'score_level: that map is {tuple(level.shape[-2:])} and the tokens '
                             f'lie on {tuple(grid)}; choose the level of the same stride')
        cosine = F.normalize(text, dim=-1) @ F.normalize(tokens, dim=-1).transpose(-1, -2)
        return cosine.unflatten(-1, grid)


def _beside(level: Tensor, scores: Tensor) -> Tensor:
    """Return maps (N, T, C, h, w) and their scores (N, T, K, h, w) along channels."""
    # As images (N*T, ...), which have a memory format: the maps' own for both.
    images, added = level.flatten(0, 1), scores.flatten(0, 1)
    if images.is_contiguous(memory_format=torch.channels_last):
        added = added.contiguous(memory_format=torch.channels_last)
    return torch.cat([images, added], 1).unflatten(0, level.shape[:2])


def _with_difference(tokens: Tensor) -> Tensor:
    """Return earlier, later and difference (N, 3*L, C) of tokens (N, 2, L, C)."""
    img_from, img_to = tokens.unbind(1)
    return torch.cat([img_from, img_to, img_to - img_from], dim=1)
