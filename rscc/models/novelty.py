"""Distance of images to those of the training, from a statistic of the encoder's features.

Every date becomes one vector, the means of the encoder's maps. Over the training images these
vectors have a mean and a covariance, of which the leading directions are kept and the rest is taken
as one variance: a Mahalanobis distance in a few thousand numbers (probabilistic PCA, Tipping and
Bishop, JRSS B 1999). The statistic is metadata of a checkpoint, so that it can be added to weights
that are trained already.
"""
import base64
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from rscc.structures import FrameFeatures
from rscc.utils.forms import check_form

#: Entry of a checkpoint's ``meta``.
KEY = 'novelty'
#: Directions whose variances are kept, at most.
DIRECTIONS = 16
_FORM = {'width': range(1, 1 << 20), 'samples': int, 'mean': str, 'scale': str, 'basis': str,
         'variances': [float], 'rest': float, 'far': float}


class FeatureDistance(nn.Module):
    """Distance of encoder features to those of the training images.

    Its buffers are not part of a state dict: it comes from the metadata of a checkpoint.

    Args:
        mean, scale: Of every feature (D,) over the training images.
        basis: Leading directions of the standardised features (K, D), of unit length.
        variances: Of the features along them (K,).
        rest: Mean variance along all other directions.
        far: Squared distance that 99 % of the training images keep.
        samples: Number of training images.

    Attributes:
        samples: Number of training images.
    """

    def __init__(self, mean: Tensor, scale: Tensor, basis: Tensor, variances: Tensor, rest: float,
                 far: float, samples: int = 0) -> None:
        super().__init__()
        self.rest, self.far, self.samples = rest, far, samples
        for name, value in (('mean', mean), ('scale', scale), ('basis', basis),
                            ('variances', variances)):
            self.register_buffer(name, value.float(), persistent=False)

    @classmethod
    def fit(cls, vectors: Tensor, directions: int = DIRECTIONS) -> Self:
        """Take the statistic of training images.

        Args:
            vectors: What :func:`pooled_vectors` returns of them, (M, D).
            directions: Directions whose variances are kept, at most.

        Raises:
            ValueError: If there are fewer than 20 vectors, or one is not finite.
        """
        if len(vectors) < 20 or not bool(torch.isfinite(vectors).all()):
            raise ValueError(f'a statistic of features needs at least 20 finite vectors, found '
                             f'{len(vectors)}, {int(torch.isfinite(vectors).all(1).sum())} finite')
        vectors = vectors.double()
        mean, scale = vectors.mean(0), vectors.std(0).clamp_min(1e-6)
        centred = (vectors - mean) / scale
        kept = min(directions, len(vectors) // 4, vectors.shape[1])
        _, values, basis = torch.linalg.svd(centred, full_matrices=False)
        variances = values**2 / (len(vectors) - 1)
        others = max(vectors.shape[1] - kept, 1)
        # As it will be read again: half precision for directions, which are most of the numbers.
        made = cls(mean, scale, basis[:kept].half(), variances[:kept].clamp_min(1e-6),
                   max(float(variances[kept:].sum()) / others, 1e-6), 1.0, len(vectors))
        made.far = max(float(torch.quantile(made.squared(vectors.float()), 0.99)), 1e-6)
        return made

    def squared(self, vectors: Tensor) -> Tensor:
        """Return squared distances (M,) of vectors (M, D), about 1 for a usual image."""
        centred = (vectors.float() - self.mean) / self.scale
        along = centred @ self.basis.T
        outside = (centred**2).sum(1) - (along**2).sum(1)
        total = (along**2 / self.variances).sum(1) + outside.clamp_min(0) / self.rest
        return total / self.mean.numel()

    def forward(self, features: FrameFeatures) -> Tensor | None:
        """Return the distance of every sample, of its farthest date.

        Args:
            features: Of N samples of T dates.

        Returns:
            (N,): squared distance over that which 99 % of the training images keep; None where the
            features have another width than the statistic (stored features, for instance).
        """
        vectors = pooled_vectors(features)
        if vectors is None or vectors.shape[-1] != self.mean.numel():
            return None
        distances = self.squared(vectors.flatten(0, 1)).unflatten(0, (-1, vectors.shape[1]))
        return distances.amax(1) / self.far

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as the metadata of a checkpoint hold them."""
        return dict(width=self.mean.numel(), samples=self.samples,
                    mean=_packed(self.mean, np.float32), scale=_packed(self.scale, np.float32),
                    basis=_packed(self.basis, np.float16),
                    variances=[round(float(value), 6) for value in self.variances],
                    rest=float(f'{self.rest:.6g}'), far=float(f'{self.far:.6g}'))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a statistic.

        Raises:
            ValueError: If it is damaged.
        """
        remedy = 'Write it anew with tools/analysis_tools/calibrate.py'
        check_form(data, _FORM, 'the feature statistic of the checkpoint', remedy)
        width = data['width']
        try:
            mean, scale, basis = (
                torch.from_numpy(np.frombuffer(base64.b64decode(data[name], validate=True), kind)
                                 .astype(np.float32)).reshape(-1, width)
                for name, kind in (('mean', '<f4'), ('scale', '<f4'), ('basis', '<f2')))
        except (ValueError, RuntimeError) as error:
            raise ValueError(f'the feature statistic of the checkpoint is damaged ({error}). '
                             f'{remedy}') from error
        if len(basis) != len(data['variances']):
            raise ValueError(f'the feature statistic of the checkpoint has {len(basis)} directions '
                             f'and {len(data["variances"])} variances. {remedy}')
        return cls(mean[0], scale[0], basis, torch.tensor(data['variances']), data['rest'],
                   data['far'], data['samples'])


def _packed(values: Tensor, kind: type) -> str:
    """Return numbers as base64 of their little-endian bytes."""
    array = values.cpu().numpy().astype(np.dtype(kind).newbyteorder('<'))
    return base64.b64encode(array.tobytes()).decode()


def pooled_vectors(features: FrameFeatures) -> Tensor | None:
    """Return one vector for every date of every sample (N, T, D), None where there is no feature.

    The means of all maps, or the pooled vector or mean token of encoders without maps.
    """
    if features.maps:
        return torch.cat([level.float().mean((-2, -1)) for level in features.maps], -1)
    if features.pooled is not None:
        return features.pooled.float()
    return None if features.tokens is None else features.tokens.float().mean(2)


def restore_novelty(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Give a model the statistic that its checkpoint carries, if it does.

    Args:
        model: The model into which the checkpoint was loaded.
        checkpoint: The whole checkpoint; one that holds weights alone changes nothing.

    Raises:
        ValueError: If the statistic is damaged.
    """
    known = (checkpoint.get('meta') or {}).get(KEY)
    if hasattr(model, 'novelty'):  # a model of one's own may have no place for it
        place = next(model.parameters()).device
        model.novelty = FeatureDistance.from_dict(known).to(place) if known else None
