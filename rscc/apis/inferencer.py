"""A trained model as a function: images in, mask and sentences out."""
import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmcv.cnn
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn

from rscc.config.stored import config_from_text
from rscc.engine.checkpoint import load_weights, read_checkpoint
from rscc.engine.hooks.autocast_hook import to_float32
from rscc.engine.precision import keep_freed_memory, reduced_precision
from rscc.inference.preparation import existing_device, image_pipeline, tested_dataset
from rscc.inference.result import InferenceResult
from rscc.models.caption_heads.base import restore_vocabulary
from rscc.models.pretrained import without_pretrained
from rscc.registry import DATASETS, MODELS
from rscc.structures import ChangeDataSample
from rscc.utils import did_you_mean
from rscc.visualization.panels import mask_of

Image = str | os.PathLike | np.ndarray


class ChangeInferencer:
    """Answers images or pairs with a trained model.

    Neither the dataset nor its vocabulary file has to be there: class names, colours and words
    come from the checkpoint, the preparation of images from the config's test pipeline.

    Example:
        >>> inferencer = ChangeInferencer('configs/blip_synth.py', 'epoch_20.pth')
        >>> result = inferencer('before.png', 'after.png', num_beams=3)
        >>> result.caption, result.mask.shape

    Args:
        config: Config file, a ``Config``, or None to take the one stored in the checkpoint (read as
            plain values, never executed).
        checkpoint: A file or address that ``tools/train.py`` wrote.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...; None takes the best one here.
        amp: Reduced precision where the device gains from it.
        fuse_conv_bn: Compute batch norms inside the convolutions before them: the same answers up
            to rounding, sooner.

    Raises:
        FileNotFoundError: If config or checkpoint is not there.
        ValueError: If they do not fit each other, or the device is not there.
    """

    def __init__(self, config: str | os.PathLike | Config | None, checkpoint: str | os.PathLike,
                 device: str | None = None, amp: bool = False, fuse_conv_bn: bool = True):
        self.device, self.amp = existing_device(device), amp
        if self.device.type == 'cpu':
            keep_freed_memory()
        stored = read_checkpoint(checkpoint)
        cfg = _config(config, stored, str(checkpoint))
        restore_vocabulary(cfg, stored)
        without_pretrained(cfg.model)
        self.meta = _dataset_meta(cfg, stored)
        with DefaultScope.overwrite_default_scope('rscc'):
            self._load, self._steps = image_pipeline(cfg)
            self.model: nn.Module = MODELS.build(cfg.model)
        report = load_weights(self.model, stored)
        if not report.exact:
            raise ValueError(f"checkpoint '{checkpoint}' does not fit the model of this config: "
                             f'{report}\nUse the config it was trained with.')
        self.model.to(self.device).eval()
        if fuse_conv_bn:
            mmcv.cnn.fuse_conv_bn(self.model)

    def __call__(self, img_from: Image | Sequence[Image],
                 img_to: Image | Sequence[Image] | None = None, *, batch_size: int = 8,
                 **decoding: Any) -> InferenceResult | list[InferenceResult]:
        """Answer one image, one pair, or lists of them.

        Args:
            img_from: Earlier image, or the only one: a path or uint8 RGB (H, W, 3). Or a list.
            img_to: Later image of the same size, or a list as long as ``img_from``.
            batch_size: Samples of a list answered at once.
            **decoding: Over the config's, see :attr:`decoding`; ``return_attention=True`` gives
                sentences with attention maps, ``return_strip=True`` those with a denoising strip,
                which ``InferenceResult.drawing`` shows.

        Returns:
            One result, or a list of them for lists.

        Raises:
            FileNotFoundError: If an image is not there.
            ValueError: If sizes differ, one list is longer, the model reads another number of
                dates, or its caption head cannot do what is asked.
        """
        if decoding and getattr(self.model, 'caption_head', None) is None:
            raise ValueError('this model has no caption_head: the decoding options '
                             f'{sorted(decoding)} have nothing to act on')
        if not _is_list(img_from):
            if _is_list(img_to):
                raise ValueError('img_to is a list and img_from is not; give two lists of the same '
                                 'length, or two images')
            return self._answer([(img_from, img_to)], decoding)[0]
        samples = _pairs(img_from, img_to)
        results = []
        for start in range(0, len(samples), batch_size):
            results += self._answer(samples[start:start + batch_size], decoding)
        return results

    @property
    def decoding(self) -> dict[str, Any]:
        """Decoding options of the caption head with the config's values; none without a head."""
        head = getattr(self.model, 'caption_head', None)
        return {} if head is None else head.decoding.as_dict()

    def _answer(self, samples: list[tuple[Image, Image | None]], decoding: dict
                ) -> list[InferenceResult]:
        """Answer one batch."""
        frames = [self._read(*sample) for sample in samples]
        batch = pseudo_collate([self._prepare(own, _name(sample))
                                for own, sample in zip(frames, samples, strict=True)])
        with torch.inference_mode():
            if self.amp:
                with reduced_precision(self.device.type):
                    answers = to_float32(self._predict(batch, decoding))
            else:
                answers = self._predict(batch, decoding)
        return [self._result(own, answer) for own, answer in zip(frames, answers, strict=True)]

    def _predict(self, batch: dict, decoding: dict) -> list[ChangeDataSample]:
        if not decoding:
            return self.model.test_step(batch)
        data = self.model.data_preprocessor(batch, False)
        return self.model.predict(data['inputs'], data['data_samples'], **decoding)

    def _read(self, img_from: Image, img_to: Image | None) -> list[np.ndarray]:
        """Return the sample's frames as the model's dataset would read them."""
        images = [img_from] if img_to is None else [img_from, img_to]
        expected = {'pair': 2, 'single': 1}.get(self.meta.get('task'), len(images))
        if len(images) != expected:
            wanted, given = ('pairs', 'img_to is missing') if expected == 2 else (
                'single images', 'img_to was given too')
            raise ValueError(f'this model reads {wanted}; {given}')
        return [image if isinstance(image, np.ndarray) else self._load(
            {'sample_id': Path(image).name, 'img_path': str(image)})['frames'][0]
            for image in images]

    def _prepare(self, frames: list[np.ndarray], name: str) -> dict:
        """Run the test pipeline."""
        results = self._load({
            'sample_id': name, 'split': 'inference', 'frames': list(frames), 'gt_captions': [],
            'language': self.meta.get('language', 'en'), 'rng': np.random.default_rng(0)})
        for step in self._steps:
            results = step(results)
        return results

    def _result(self, frames: list[np.ndarray], answer: ChangeDataSample) -> InferenceResult:
        mask = mask_of(answer, 'pred_sem_seg')
        probability = answer.get('pred_change_score')
        return InferenceResult(
            frames=frames,
            mask=None if mask is None else mask.astype(np.uint8),
            captions=list(answer.get('pred_captions') or []),
            change_probability=None if probability is None else float(probability),
            classes=tuple(self.meta.get('classes') or ()),
            palette=self.meta.get('palette'),
            language=self.meta.get('language'))


def _is_list(images: object) -> bool:
    return isinstance(images, Sequence) and not isinstance(images, str)


def _pairs(img_from: Sequence[Image], img_to: Sequence[Image] | Image | None
           ) -> list[tuple[Image, Image | None]]:
    if img_to is None:
        return [(image, None) for image in img_from]
    if not _is_list(img_to) or len(img_from) != len(img_to):
        found = f'{len(img_to)} images' if _is_list(img_to) else 'one image'
        raise ValueError(f'img_from lists {len(img_from)} images, img_to is {found}; expected a '
                         'list of the same length')
    return list(zip(img_from, img_to, strict=True))


def _name(sample: tuple[Image, Image | None]) -> str:
    """Return a sample's name for messages."""
    return ' -> '.join('array' if isinstance(image, np.ndarray) else Path(image).name
                       for image in sample if image is not None)


def _config(config: str | os.PathLike | Config | None, checkpoint: Mapping, source: str) -> Config:
    """Return a config that may be edited."""
    if isinstance(config, Config):
        return copy.deepcopy(config)
    if config is not None:
        path = Path(config)
        if not path.is_file():
            beside = [str(found) for found in path.parent.glob('*.py')]
            raise FileNotFoundError(f"no config at '{path}'.{did_you_mean(str(path), beside)}")
        return Config.fromfile(path)
    text = (checkpoint.get('meta') or {}).get('cfg')
    if not text:
        raise ValueError(f"checkpoint '{source}' does not hold its config; give the config file it "
                         'was trained with')
    return config_from_text(text, source)


def _dataset_meta(cfg: Config, checkpoint: Mapping) -> dict:
    """Return classes, palette, language and task: the checkpoint's, else the dataset class's."""
    stored = (checkpoint.get('meta') or {}).get('dataset_meta')
    if stored:
        return dict(stored)
    dataset = tested_dataset(cfg)
    kind = DATASETS.get(dataset['type']) if dataset.get('type') else None
    return {**getattr(kind, 'METAINFO', {}), 'language': dataset.get('language', 'en')}
