"""Batches of windows through a trained model: preparation as in testing, precision, memory."""
import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import nn

from rscc.config.stored import building
from rscc.engine.precision import (
    keep_freed_memory,
    reduced_dtype,
    reduced_precision,
    to_float32,
)
from rscc.engine.prepacking import prepare_weights
from rscc.inference.loading import LoadedModel, load_model
from rscc.inference.preparation import existing_device, image_pipeline
from rscc.inference.windows import Window, training_window
from rscc.models.data_preprocessor import ChangeDataPreprocessor
from rscc.models.interpreter import ChangeInterpreter
from rscc.rasters.scales import Scale
from rscc.structures import ChangeDataSample

_OUT_OF_MEMORY = ('out of memory', "can't allocate memory", 'not enough memory')
Chooser = Callable[[ChangeDataSample], bool]


class ModelPass:
    """A trained model with its preparation, its window and its precision.

    Args:
        loaded: The model.
        device: Where it computes.
        amp: Reduced precision where the device gains from it; the weights are cast once, in place.
        bands: Bands that are read, counted from 1: those that become red, green and blue, then any
            others; None for the config's.
        scale: Values that become 0 and 255; None for the config's.
        window: Side of the windows in pixels of the image; None for what a training image covered.
        overlap: Pixels that neighbouring windows share; None for a quarter of the window.

    Attributes:
        loaded: The model.
        window: What the model sees at once.
        load: The first step of the preparation, which knows bands and scale.
    """

    def __init__(self, loaded: LoadedModel, device: torch.device, amp: bool = False,
                 bands: Sequence[int] | None = None, scale: Scale | None = None,
                 window: int | None = None, overlap: int | None = None) -> None:
        self.loaded, self.device, self.amp = loaded, device, amp
        self._reduced = reduced_dtype(device.type) if amp else None
        prepare_weights(loaded.model, self._reduced)
        self.window: Window = training_window(loaded.cfg, loaded.meta, window, overlap)
        with DefaultScope.overwrite_default_scope('rscc'), building(loaded.cfg):
            self.load, self._steps = image_pipeline(loaded.cfg, bands, scale)
        _check_bands(loaded.model, self.load)

    def enlarged(self, factor: int) -> 'ModelPass':
        """Return the same model with windows ``factor`` times as high and wide.

        Objects keep their size: what the preparation resizes windows to grows with them. The
        overlap stays.

        Raises:
            ValueError: If it is not known what a training image covered.
        """
        if self.window.size is None:
            raise ValueError('windows cannot be enlarged: their size is not known')
        larger = copy.copy(self)
        resized = self.window.resized
        larger.window = Window(
            tuple(side * factor for side in self.window.size),
            None if resized is None else tuple(side * factor for side in resized),
            self.window.overlap)
        cfg = self.loaded.cfg
        with DefaultScope.overwrite_default_scope('rscc'), building(cfg):
            larger.load, larger._steps = image_pipeline(cfg, self.load.bands, self.load.scale,
                                                        factor)
        return larger

    @classmethod
    def of(cls, model: str | Path | Config | None, checkpoint: str | Path | None = None,
           device: str | None = None, amp: bool = False, fuse_conv_bn: bool = True,
           cfg_options: Mapping[str, Any] | None = None, **reading: Any) -> 'ModelPass':
        """Load a model; see :class:`rscc.apis.ChangeInferencer` for the arguments."""
        place = existing_device(device)
        if place.type == 'cpu':
            keep_freed_memory()
        return cls(load_model(model, checkpoint, place, cfg_options, fuse_conv_bn), place, amp,
                   **reading)

    def prepare(self, frames: Sequence[np.ndarray], name: str) -> dict:
        """Run the test pipeline over the frames (H, W, B) of one window."""
        results = self.load({
            'sample_id': name, 'split': 'inference', 'frames': list(frames), 'gt_captions': [],
            'language': self.loaded.meta.get('language', 'en'), 'rng': np.random.default_rng(0)})
        for step in self._steps:
            results = step(results)
        return results

    def answer(self, prepared: list[dict], decoding: Mapping[str, Any],
               describe: Sequence[Chooser] | None = None, classes: bool = True
               ) -> list[ChangeDataSample]:
        """Answer a batch, in halves where the memory does not suffice for the whole.

        Args:
            prepared: From :meth:`prepare`.
            decoding: Over the config's options of the caption head.
            describe: Of each window, whether it is put into words, told from its map and flag; None
                for all.
            classes: Whether ``pred_sem_seg`` is wanted beside ``seg_logits``.
        """
        try:
            return self._at_once(prepared, decoding, describe, classes)
        except (MemoryError, RuntimeError) as error:
            lacking = isinstance(error, MemoryError) or any(
                sign in str(error).lower() for sign in _OUT_OF_MEMORY)
            if not lacking or len(prepared) == 1:
                raise
        half = len(prepared) // 2
        print_log(f'memory does not suffice for {len(prepared)} windows at once: answering {half} '
                  'at a time', 'current', 30)
        return [answer for part in (slice(half), slice(half, None)) for answer in self.answer(
            prepared[part], decoding, None if describe is None else describe[part], classes)]

    def _at_once(self, prepared: list[dict], decoding: Mapping[str, Any],
                 describe: Sequence[Chooser] | None, classes: bool) -> list[ChangeDataSample]:
        # Autocast keeps what it casts (weights of embeddings, ...) for the length of a call, which
        # inference mode forbids.
        if self._reduced is not None:
            with torch.no_grad(), reduced_precision(self.device.type, self._reduced):
                return to_float32(self._run(prepared, decoding, describe, classes))
        with torch.inference_mode():
            return self._run(prepared, decoding, describe, classes)

    def _run(self, prepared: list[dict], decoding: Mapping[str, Any],
             describe: Sequence[Chooser] | None, classes: bool) -> list[ChangeDataSample]:
        batch, model = pseudo_collate(prepared), self.loaded.model
        choice = {}  # a model of the user's own describes every window, and draws every map
        if isinstance(model, ChangeInterpreter):
            choice = {} if describe is None else dict(describe=describe)
            choice |= {} if classes else dict(classes=False)
        if not decoding and not choice:
            return model.test_step(batch)
        data = model.data_preprocessor(batch, False)
        return model.predict(data['inputs'], data['data_samples'], **choice, **decoding)


def _check_bands(model: nn.Module, load: Any) -> None:
    """Refuse to read another number of bands than the model takes."""
    preprocessor = getattr(model, 'data_preprocessor', None)
    if isinstance(preprocessor, ChangeDataPreprocessor) and preprocessor.bands != load.count:
        given = '' if load.bands is None else f', {", ".join(map(str, load.bands))}'
        raise ValueError(f'this model takes images of {preprocessor.bands} bands, and {load.count} '
                         f'are read{given}: choose {preprocessor.bands} with bands '
                         '(--bands), red, green and blue first, or LoadFrames(bands=(...)) of its '
                         'config')
