"""ChangeCLIP's fusion: texts look at the images, score maps and differences guide the features.

Paper: Dong et al., ChangeCLIP: Remote sensing change detection with multimodal vision-language
representation learning, ISPRS J. 208 (2024) 53-69,
https://doi.org/10.1016/j.isprsjprs.2024.01.004.
"""
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.fusion.base import group_grid, require_dates, require_tokens
from rscc.models.fusion.compensation import DifferenceCompensation
from rscc.models.fusion.context_decoder import ContextDecoder
from rscc.models.fusion.prompt_encoder import PromptEncoder
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures

PROMPTS_AT_TEST = ('own', 'from')


@MODELS.register_module()
class LanguageGuidedFusion(nn.Module):
    """Guide the fusion of two dates by sentences about what is in them.

    Per date: sentences are embedded, updated by attention to the image (``text + gamma *
    decoder(text, image)``), and compared with every position; these score maps join the features of
    one level. Per level: an FPN fuses both dates and DFC adds their differences.

    For caption heads the visual tokens are handed on: earlier, later, and their difference.

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
    """

    def __init__(self, in_channels: Sequence[int], text_channels: int, prompt_encoder: Mapping,
                 context_decoder: Mapping | None = None, score_level: int = -1,
                 channels: int = 256, reduction: int = 16, gamma: float = 1e-4,
                 neck: Mapping | None = None, prompts_at_test: str = 'own') -> None:
        super().__init__()
        if prompts_at_test not in PROMPTS_AT_TEST:
            raise ValueError(f"prompts_at_test is one of {list(PROMPTS_AT_TEST)}, found "
                             f"'{prompts_at_test}'")
        self.prompts_at_test = prompts_at_test
        self.prompt_encoder = PromptEncoder(**prompt_encoder)
        self.context_decoder = ContextDecoder(text_channels, **(context_decoder or {}))
        self.gamma = nn.Parameter(torch.full((text_channels,), gamma))
        widths = list(in_channels)
        self.score_level = score_level % len(widths)
        widths[self.score_level] += 2  # one score map a sentence
        self.neck = MODELS.build(neck or dict(
            type='mmseg.FPN', in_channels=[2 * width for width in widths], out_channels=channels,
            num_outs=len(widths)))
        self.levels = nn.ModuleList(
            DifferenceCompensation(width, channels, reduction) for width in widths)

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse two dates.

        Returns:
            ``maps`` (N, channels, h_i, w_i), ``text`` (N, 2, 2, C), ``tokens`` (N, 3*h*w, C),
            ``pooled`` (N, 3*C).
        """
        require_dates(features, 2, 'LanguageGuidedFusion', 'SingleFrame for one')
        tokens = require_tokens(features, 'LanguageGuidedFusion')
        if features.pooled is None:
            raise ValueError('LanguageGuidedFusion needs the pooled vector of the encoder, in the '
                             'space of the texts: CLIPResNet and CLIPViT return it')
        text = self.guide(tokens, features.pooled, self._names(features))
        maps = list(features.maps)
        maps[self.score_level] = torch.cat(
            [maps[self.score_level], self._scores(tokens, text, features.token_grid,
                                                  maps[self.score_level])], dim=2)
        fused = self.neck([level.flatten(1, 2) for level in maps])
        compensated = [layer(level[:, 0], level[:, 1], both) for layer, level, both in
                       zip(self.levels, maps, fused, strict=True)]
        memory, pooled = _with_difference(tokens), _with_difference(features.pooled[:, :, None])
        return ChangeFeatures(compensated, memory, pooled.flatten(1), text,
                              group_grid(features, 3))

    def guide(self, tokens: Tensor, pooled: Tensor, prompts: list[list[list[str]]]) -> Tensor:
        """Return the texts of every date, updated by its image.

        Args:
            tokens: Visual tokens (N, T, L, C).
            pooled: One vector a date (N, T, C).
            prompts: Class names [N][T][any number].

        Returns:
            (N, T, 2, C), background first.
        """
        text = self.prompt_encoder(prompts)
        visual = torch.cat([pooled[:, :, None], tokens], dim=2)
        update = self.context_decoder(text.flatten(0, 1), visual.flatten(0, 1))
        return text + self.gamma * update.unflatten(0, text.shape[:2])

    def _names(self, features: FrameFeatures) -> list[list[list[str]]]:
        """Return the class names to use, none where nobody named any."""
        count, dates = features.tokens.shape[:2]
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


def _with_difference(tokens: Tensor) -> Tensor:
    """Return earlier, later and difference (N, 3*L, C) of tokens (N, 2, L, C)."""
    img_from, img_to = tokens.unbind(1)
    return torch.cat([img_from, img_to, img_to - img_from], dim=1)
