"""Differential features compensation (DFC): what changed, pointed out to the fused features.

Paper: Dong et al., ChangeCLIP, ISPRS J. 208 (2024) 53-69,
https://doi.org/10.1016/j.isprsjprs.2024.01.004.
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        difference = F.relu(self.difference((img_from - img_to).abs()))
        joined = torch.cat([fused * self.gate(img_from, img_to), difference, fused], dim=1)
        pooled = joined.mean((2, 3), keepdim=True)
        weights = F.hardsigmoid(self.excite(F.relu(self.squeeze(pooled))))
        return F.relu(self.project(joined * weights))

    @staticmethod
    def gate(img_from: Tensor, img_to: Tensor) -> Tensor:
        """Return how much each position stands out, (N, 1, h, w) from 0.5 to 0.881."""
        return torch.sigmoid(1 - F.cosine_similarity(img_from, img_to, dim=1, eps=1e-8))[:, None]
