"""Hook that draws predictions while validating and testing."""
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rscc.engine.runner import Runner as OwnRunner
from rscc.evaluation.doubt import Doubt
from rscc.evaluation.metrics import doubt_of
from rscc.registry import HOOKS
from rscc.structures import ChangeDataSample
from rscc.structures.change_data_sample import source_of
from rscc.utils.names import DistinctNames
from rscc.visualization.attention import CAPTION_DRAWINGS, drawings_of, save_evidence
from rscc.visualization.overlays import overlay_mask
from rscc.visualization.panels import class_map_folder, class_maps_of, mask_of, panel_of_sample
from rscc.visualization.picture_files import safe_name, save_image, save_mask, save_probabilities


@HOOKS.register_module()
class PanelHook(Hook):
    """Draw panels of the same samples at every validation, and files of a test.

    Validation: ``num_val`` panels, evenly spaced over the split, go to the visualizer (TensorBoard,
    W&B, local files), so that the answers to one pair can be followed over training.

    Test: with ``out_dir`` set, ``panels/<sample id>.png`` for ``num_test`` evenly spaced samples,
    ``masks/<sample id>.png`` for every predicted mask and ``reference_masks/<sample id>.png`` for
    every reference mask, as palette PNGs whose values are class numbers; ``overlays/<sample
    id>.png``, the predicted mask over the last date. Of models that tell the classes of both dates
    ``classes_from/<sample id>.png`` and ``classes_to/<sample id>.png``, palette PNGs in the
    dataset's ``semantic_palette``, and the same of the reference in ``reference_classes_from/`` and
    ``reference_classes_to/``. Beside each panel what its sentence brings with it,
    ``attention/<sample id>.png`` or ``denoising/<sample id>.png`` (asked for by
    ``decoding=dict(return_attention=True)`` or ``dict(return_trajectory=True)`` of the caption
    head); ``evidence/<sample id>.png``, where the model looked for every word, of every sentence
    that brings attention, for the report; and with ``probabilities`` also ``probabilities/<sample
    id>.png``, P(changed) as grey of 16 bits, which ``tools/dataset_converters/tiles.py merge`` puts
    together.

    In distributed runs each process draws from its own share of the samples; only process 0 has
    a visualizer.

    Args:
        num_val: Panels per validation; 0 draws none.
        out_dir: Folder for the files of a test; None writes none.
        num_test: Panels per test, all processes together; None draws every sample.
        probabilities: Whether a test writes P(changed), from the ``seg_logits`` of the samples.
        drawings: Whether panels of a test have the pictures of their sentences beside them.

    Attributes:
        failures: What kept samples of the last test from being drawn, one entry a sample. The test
            goes on without their pictures.
    """

    priority = 'LOW'

    def __init__(self, num_val: int = 8, out_dir: str | None = None,
                 num_test: int | None = 200, probabilities: bool = False, drawings: bool = True):
        for name, value in (('num_val', num_val), ('num_test', num_test)):
            if value is not None and value < 0:
                raise ValueError(f'PanelHook {name}={value}; expected 0 or more')
        self.num_val, self.num_test = num_val, num_test
        self.out_dir = Path(out_dir) if out_dir is not None else None
        self.probabilities, self.drawings = probabilities, drawings
        self._seen, self._chosen, self._names = 0, set(), DistinctNames()
        self.failures: list[str] = []
        self._written = dict.fromkeys(('panels', 'masks', 'overlays', 'class maps',
                                       'probability maps',
                                       *(kind.what for kind in CAPTION_DRAWINGS)), 0)

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the samples to draw."""
        count = self.num_val if is_main_process() else 0
        self._start(runner.val_dataloader, count)

    def before_test_epoch(self, runner: Runner) -> None:
        """Choose the samples to draw and forget the last test's count."""
        count = None if self.num_test is None else math.ceil(self.num_test / get_world_size())
        self._start(runner.test_dataloader, count)
        self._written = dict.fromkeys(self._written, 0)
        self.failures.clear()

    def _start(self, dataloader: object, count: int | None) -> None:
        total = _share(dataloader)
        count = total if count is None else min(count, total)
        self._seen, self._names = 0, DistinctNames()
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
        """Write masks, overlays and the chosen panels of this batch."""
        if self.out_dir is None:
            return
        meta = runner.test_dataloader.dataset.metainfo
        for position, frames, sample in self._samples(data_batch, outputs):
            name = self._names.of(sample.get('sample_id', f'{position:06d}'), source_of(sample))
            name = safe_name(name) + '.png'
            # A model without probabilities is told at the first sample, a fault of drawing after
            # the last: a picture must not cost the scores of the whole test.
            probability = changed_probability(sample) if self.probabilities else None
            try:
                self._write_maps(name, frames, sample, meta.get('palette'))
                self._write_class_maps(name, sample, meta.get('semantic_palette'))
                if probability is not None:
                    save_probabilities(self.out_dir / 'probabilities' / name, probability)
                    self._written['probability maps'] += 1
                best = next(iter(sample.get('pred_captions') or ()), None)
                if best is not None and best.attention is not None:
                    save_evidence(self.out_dir / 'evidence' / name, best)
                if position in self._chosen:
                    weights = runner.weights if isinstance(runner, OwnRunner) else {}
                    doubt = doubt_of(sample.to_dict(), meta, weights)
                    self._draw(name, frames(), sample, meta, doubt)
            except Exception as error:
                self._note_failure(runner, f"'{name}': {type(error).__name__}: {error}")

    def _note_failure(self, runner: Runner, what: str) -> None:
        self.failures.append(what)
        if len(self.failures) == 1:
            runner.logger.warning(f'no pictures of {what}. The test goes on; later ones are '
                                  'counted')

    def _draw(self, name: str, frames: list[np.ndarray], sample: ChangeDataSample, meta: dict,
              doubt: Doubt) -> None:
        save_image(self.out_dir / 'panels' / name,
                   panel_of_sample(frames, sample, meta, doubt=doubt))
        self._written['panels'] += 1
        best = next(iter(sample.get('pred_captions') or ()), None)
        title = str(sample.get('sample_id', Path(name).stem))
        for kind in drawings_of(best) if self.drawings else ():
            save_image(self.out_dir / kind.name / name, kind.draw(frames, best, title))
            self._written[kind.what] += 1

    def _write_maps(self, name: str, frames: Callable[[], list[np.ndarray]],
                    sample: ChangeDataSample, palette: Sequence | None) -> None:
        reference = mask_of(sample, 'gt_sem_seg')
        if reference is not None:
            save_mask(self.out_dir / 'reference_masks' / name, reference, palette)
        mask = mask_of(sample, 'pred_sem_seg')
        if mask is not None:
            save_mask(self.out_dir / 'masks' / name, mask, palette)
            save_image(self.out_dir / 'overlays' / name, overlay_mask(frames()[-1], mask, palette))
            self._written['masks'] += 1
            self._written['overlays'] += 1

    def _write_class_maps(self, name: str, sample: ChangeDataSample, palette: Sequence | None
                          ) -> None:
        for key, classes in class_maps_of(sample).items():
            save_mask(self.out_dir / class_map_folder(key) / name, classes, palette)
            self._written['class maps'] += not key.startswith('gt_')

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Say what was written."""
        if self.out_dir is not None:
            here = '' if runner.world_size == 1 else ' by this process'
            counts = ', '.join(f'{count} {what}' for what, count in self._written.items() if count)
            runner.logger.info(f"{counts or 'no pictures'} written{here} to '{self.out_dir}'")

    def _samples(self, data_batch: dict, outputs: Sequence[ChangeDataSample]) -> list[tuple]:
        """Return (position in this process's share, function giving the frames, sample).

        There are none where the dataset brings stored features: nothing can be shown of them.
        """
        start, self._seen = self._seen, self._seen + len(outputs)
        return [(start + i, _frames_of(data_batch['inputs'][i]), sample)
                for i, sample in enumerate(outputs) if data_batch['inputs'][i].ndim == 4]


def changed_probability(sample: ChangeDataSample) -> np.ndarray:
    """Return P(changed), 1 - P(class 0), of a sample with ``seg_logits``.

    Returns:
        float32 (H, W), 0 to 1.

    Raises:
        ValueError: If the sample has no logits.
    """
    logits = sample.get('seg_logits')
    if logits is None:
        raise ValueError(f"sample '{sample.get('sample_id')}' has no seg_logits, so there is no "
                         'probability to write: the model has no change_head. Test it without '
                         '--probabilities.')
    logits = logits.data.detach().float()
    # A single channel is that of "changed" already.
    changed = logits[0].sigmoid() if len(logits) == 1 else 1 - logits.softmax(0)[0]
    return changed.clamp(0, 1).cpu().numpy()


def _frames_of(inputs: object) -> object:
    """Return a function that unpacks a uint8 tensor (T, B, H, W) to T arrays (H, W, B)."""
    return lambda: list(inputs.permute(0, 2, 3, 1).cpu().numpy())


def _share(dataloader: object) -> int:
    """Return how many samples this process draws from a dataloader."""
    try:
        return len(dataloader.sampler)
    except TypeError:  # one without an end
        return len(dataloader.dataset)
