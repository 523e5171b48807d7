"""Embedder of images by the encoder of any config, for features that are stored."""
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from rscc.datasets.base import ChangeDataset
from rscc.engine.checkpoint import load_weights, misfit, read_checkpoint
from rscc.inference.preparation import image_pipeline, image_steps, tested_dataset
from rscc.models.data_preprocessor import ChangeDataPreprocessor, restore_normalisation
from rscc.models.encoders.base import build_encoder
from rscc.models.pretrained import fingerprint, initialise, without_pretrained
from rscc.registry import DATASETS, MODELS
from rscc.utils.logging import warn_once

#: What says where weights come from; their fingerprint says what they are.
_ORIGINS = ('init_cfg', 'pretrained')
#: What makes a dataset other than its images, or stands in for them.
_NOT_IMAGES = ('pipeline', 'split', 'cache', 'features', 'indices', 'test_mode', 'lazy_init')


class EncoderEmbedder(nn.Module):
    """Runs a config's encoder on single images, prepared as its test pipeline prepares them.

    Nothing is trained here, and the module stays in evaluation mode: features that are stored are
    those of the weights at hand. Where the config would train the encoder, that is said once.

    Args:
        cfg: The config.
        checkpoint: Of a model with that encoder; None takes the weights that the config names.
        first_image: A file by which size and grid are found.
        device: Where to compute.

    Attributes:
        facts: What the features depend on, as JSON values: ``encoder`` is a digest of the encoder's
            config and of the preparation, ``weights`` the fingerprint of its weights.
        read: File -> prepared image uint8 (3, H, W), for ``image_batches``.
        token_grid: (h, w) of the tokens, None where they have no places.
        channels: Width D of the features.

    Raises:
        FileNotFoundError: If checkpoint or image are not there.
        ValueError: If the config has no encoder of images, or the checkpoint another one.
    """

    def __init__(self, cfg: Config, checkpoint: str | Path | None, first_image: str | Path,
                 device: torch.device | str = 'cpu') -> None:
        super().__init__()
        described = _plain((cfg.get('model') or {}).get('encoder'))
        if not described or described['type'] == 'StoredFeatures':
            raise ValueError("features are computed by the config's model.encoder, and it is "
                             f"{described and described['type']!r}: give the config with the "
                             'encoder that reads images')
        with DefaultScope.overwrite_default_scope('rscc'):
            stored = None if checkpoint is None else read_checkpoint(checkpoint)
            self.encoder = _encoder(cfg, stored, checkpoint)
            preprocessor = cfg.model.get('data_preprocessor') or dict(type='ChangeDataPreprocessor')
            self.data_preprocessor = MODELS.build(preprocessor).to(device)
            self.read = ImageReader(*image_pipeline(cfg))
        preparation = dict(pipeline=_plain(image_steps(cfg)), preprocessor=_plain(preprocessor))
        if isinstance(self.data_preprocessor, ChangeDataPreprocessor):
            preparation['preprocessor'] |= self._prepare_images(stored)
        _say_what_does_not_learn(self.encoder, cfg)
        self.facts = dict(
            model=_name(described), encoder=_digest(_without_origins(described), preparation),
            weights=fingerprint(self.encoder), config=_without_origins(described),
            preprocessing=preparation)
        self.device = torch.device(device)
        self.to(self.device).requires_grad_(False).eval()
        self._probe(str(first_image))

    def _prepare_images(self, stored: Mapping[str, Any] | None) -> dict[str, Any]:
        """Have images prepared as in training; return the statistics that the config does not tell.

        Args:
            stored: The checkpoint, if there is one.
        """
        preprocessor = self.data_preprocessor
        preprocessor.suit(self.encoder)
        restore_normalisation(self, stored or {})
        if preprocessor.channels_last:
            self.encoder.to(memory_format=torch.channels_last)
        # Old files, made before encoders told theirs, keep their digest where nothing is told.
        found = preprocessor.normalisation
        told = not preprocessor.configured and found.source != 'the default'
        return dict(mean=list(found.mean), std=list(found.std)) if told else {}

    def _probe(self, image: str) -> None:
        """Encode one image, to know what all of them will be like."""
        pixels = self.read(image)
        features = self._encode(pixels[None].to(self.device))
        self.read = ImageReader(self.read.load, self.read.steps, tuple(pixels.shape[-2:]))
        if features.tokens is None:
            raise ValueError(f"the encoder '{self.facts['model']}' returns no tokens, which "
                             'caption heads read')
        self.token_grid, self.channels = features.token_grid, features.tokens.shape[-1]

    def train(self, mode: bool = True) -> 'EncoderEmbedder':
        """Stay in evaluation mode: nothing here learns."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled (M, D) and tokens (M, L, D) of prepared images uint8 (M, 3, H, W).

        An encoder without a pooled feature gets the mean of its tokens, as fusions take it.
        """
        features = self._encode(prepared)
        tokens = features.tokens[:, 0].float()
        return tokens.mean(1) if features.pooled is None else features.pooled[:, 0].float(), tokens

    @torch.no_grad()
    def _encode(self, prepared: Tensor) -> Any:
        batch = self.data_preprocessor(dict(inputs=list(prepared[:, None])))
        return self.encoder(batch['inputs'])


@dataclass(frozen=True)
class ImageReader:
    """Reads an image and prepares it by a test pipeline.

    Attributes:
        load: The loading transform.
        steps: The transforms after it; the last one packs.
        size: (H, W) that images must then have; None takes any.
    """
    load: Any
    steps: list[Any]
    size: tuple[int, int] | None = None

    def __call__(self, path: str) -> Tensor:
        """Return the image uint8 (3, H, W); OSError or ValueError where that is impossible."""
        results = self.load({'sample_id': Path(path).name, 'img_path': path, 'gt_captions': [],
                             'rng': np.random.default_rng(0)})
        for step in self.steps:
            results = step(results)
        pixels = results['inputs'][0]
        if self.size not in (None, tuple(pixels.shape[-2:])):
            raise ValueError(f"'{path}' is {tuple(pixels.shape[-2:])} (H, W) and the first image "
                             f'{self.size}: stored features are of one size, so put FramesResize '
                             "into the test pipeline's steps")
        return pixels


def images_dataset(cfg: Config) -> ChangeDataset:
    """Build the test dataset of a config with the images of all its splits.

    Raises:
        FileNotFoundError: If annotations or images are missing.
        ValueError: If the config has none, or one whose images are no files.
    """
    described = {key: value for key, value in tested_dataset(cfg).items() if key not in _NOT_IMAGES}
    if not described:
        raise ValueError('the config has no test_dataloader.dataset whose images to compute')
    with DefaultScope.overwrite_default_scope('rscc'):
        dataset = DATASETS.build(dict(described, split=None, pipeline=[]))
    if not len(dataset) or not dataset.images_of(dataset.get_data_info(0)):
        raise ValueError(f"{described['type']} holds no image files, by whose names features are "
                         'stored')
    return dataset


def _encoder(cfg: Config, stored: Mapping[str, Any] | None, checkpoint: str | Path | None
             ) -> nn.Module:
    """Build the encoder with the weights of a checkpoint, read from ``checkpoint``, or its own."""
    described = Config(dict(encoder=cfg.model.encoder)).encoder
    if stored is None:
        encoder = build_encoder(described)
        initialise(encoder)
        if not _names_weights(described):
            warn_once('no checkpoint is given and the config names no weights for its encoder: the '
                      'stored features will be those of a random network')
        return encoder
    without_pretrained(described, stored)
    encoder = build_encoder(described)
    state = {key.removeprefix('encoder.'): value
             for key, value in stored.get('state_dict', stored).items()
             if key.startswith('encoder.')}
    report = load_weights(encoder, state)
    if not report.exact:
        raise ValueError(misfit(f"checkpoint '{checkpoint}' does not fit the encoder of this "
                                'config', stored, report))
    return encoder


def _names_weights(described: Any) -> bool:
    """Tell whether a config says anywhere where weights come from."""
    if isinstance(described, Mapping):
        return any(described.get(key) for key in _ORIGINS) or any(
            map(_names_weights, described.values()))
    return isinstance(described, list | tuple) and any(map(_names_weights, described))


def _say_what_does_not_learn(encoder: nn.Module, cfg: Config) -> None:
    patterns = cfg.model.get('freeze') or ()
    learning = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad
                and not any(re.search(pattern, f'encoder.{name}') for pattern in patterns)]
    if learning:
        warn_once(f'{len(learning)} of {len(list(encoder.parameters()))} parameters of the encoder '
                  f'learn in this config, {learning[0]} the first; stored features are those of '
                  'the weights at hand and do not learn')
    if cfg.model.get('change_head'):
        warn_once('feature maps are not stored: the change_head of this config cannot be trained '
                  'on stored features, its caption and flag heads can')


def _plain(described: Any) -> Any:
    """Return a config as JSON values, tuples as lists."""
    if isinstance(described, Mapping):
        return {key: _plain(value) for key, value in described.items()}
    if isinstance(described, list | tuple):
        return [_plain(value) for value in described]
    return described


def _without_origins(described: Any) -> Any:
    if isinstance(described, dict):
        return {key: _without_origins(value) for key, value in described.items()
                if key not in _ORIGINS}
    return [*map(_without_origins, described)] if isinstance(described, list) else described


def _digest(*described: Any) -> str:
    """Return 16 hex digits that stand for JSON values."""
    text = json.dumps(described, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(described: Mapping) -> str:
    """Return what an encoder is called: its class, and that of the backbone in it."""
    backbone = described.get('backbone')
    inside = f" of {backbone['type']}" if isinstance(backbone, Mapping) else ''
    return f"{described['type']}{inside}"
