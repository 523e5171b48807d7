"""Pictures while validating and testing."""
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rscc.registry import HOOKS
from rscc.structures import ChangeDataSample
from rscc.visualization.image_files import safe_name, save_image, save_mask
from rscc.visualization.panels import mask_of, panel_of_sample


@HOOKS.register_module()
class PanelHook(Hook):
    """Draw panels of the same samples at every validation, and files of a test.

    Validation: ``num_val`` panels, evenly spaced over the split, go to the visualizer (TensorBoard,
    W&B, local files), so that the answers to one pair can be followed over training.

    Test: with ``out_dir`` set, ``panels/<sample id>.png`` for ``num_test`` evenly spaced samples,
    ``masks/<sample id>.png`` for every predicted mask and ``reference_masks/<sample id>.png`` for
    every reference mask, as palette PNGs whose values are class numbers.

    In distributed runs each process draws from its own share of the samples; only process 0 has
    a visualizer.

    Args:
        num_val: Panels per validation; 0 draws none.
        out_dir: Folder for the files of a test; None writes none.
        num_test: Panels per test, all processes together; None draws every sample.
    """

    priority = 'LOW'

    def __init__(self, num_val: int = 8, out_dir: str | None = None,
                 num_test: int | None = 200):
        for name, value in (('num_val', num_val), ('num_test', num_test)):
            if value is not None and value < 0:
                raise ValueError(f'PanelHook {name}={value}; expected 0 or more')
        self.num_val, self.num_test = num_val, num_test
        self.out_dir = Path(out_dir) if out_dir is not None else None
        self._seen, self._chosen = 0, set()
        self._written = {'panels': 0, 'masks': 0}

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the samples to draw."""
        count = self.num_val if is_main_process() else 0
        self._start(runner.val_dataloader, count)

    def before_test_epoch(self, runner: Runner) -> None:
        """Choose the samples to draw and forget the last test's count."""
        count = None if self.num_test is None else math.ceil(self.num_test / get_world_size())
        self._start(runner.test_dataloader, count)
        self._written = dict.fromkeys(self._written, 0)

    def _start(self, dataloader: object, count: int | None) -> None:
        total = _share(dataloader)
        count = total if count is None else min(count, total)
        self._seen = 0
        self._chosen = set(np.linspace(0, total - 1, count).round().astype(int).tolist())

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence[ChangeDataSample] | None = None) -> None:
        """Send the chosen samples of this batch to the visualizer."""
        for position, frames, sample in self._samples(data_batch, outputs):
            if position in self._chosen:
                name = safe_name(sample.get('sample_id', f'{position:06d}'))
                runner.visualizer.add_datasample(f'val_{name}', frames(), sample, step=runner.iter)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: Sequence[ChangeDataSample] | None = None) -> None:
        """Write masks and the chosen panels of this batch."""
        if self.out_dir is None:
            return
        meta = getattr(runner.test_dataloader.dataset, 'metainfo', None) or {}
        for position, frames, sample in self._samples(data_batch, outputs):
            name = safe_name(sample.get('sample_id', f'{position:06d}')) + '.png'
            self._write_masks(name, sample, meta.get('palette'))
            if position in self._chosen:
                save_image(self.out_dir / 'panels' / name,
                           panel_of_sample(frames(), sample, meta))
                self._written['panels'] += 1

    def _write_masks(self, name: str, sample: ChangeDataSample, palette: Sequence | None) -> None:
        for field, folder in (('pred_sem_seg', 'masks'), ('gt_sem_seg', 'reference_masks')):
            mask = mask_of(sample, field)
            if mask is not None:
                save_mask(self.out_dir / folder / name, mask, palette)
                self._written['masks'] += folder == 'masks'

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Say what was written."""
        if self.out_dir is not None:
            here = '' if runner.world_size == 1 else ' by this process'
            runner.logger.info(f"{self._written['panels']} panels and {self._written['masks']} "
                               f"predicted masks written{here} to '{self.out_dir}'")

    def _samples(self, data_batch: dict, outputs: Sequence[ChangeDataSample]) -> list[tuple]:
        """Return (position in this process's share, function giving the frames, sample)."""
        start, self._seen = self._seen, self._seen + len(outputs)
        return [(start + i, _frames_of(data_batch['inputs'][i]), sample)
                for i, sample in enumerate(outputs)]


def _frames_of(inputs: object) -> object:
    """Return a function that unpacks a uint8 tensor (T, 3, H, W) to T arrays (H, W, 3)."""
    return lambda: list(inputs.permute(0, 2, 3, 1).cpu().numpy())


def _share(dataloader: object) -> int:
    """Return how many samples this process draws from a dataloader."""
    sampler = getattr(dataloader, 'sampler', None)
    try:
        return len(sampler)
    except TypeError:
        return len(dataloader.dataset)
