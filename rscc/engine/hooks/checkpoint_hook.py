"""Saving checkpoints so that a kill or a full disk never costs the previous one."""
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from rscc.engine.distributed import unwrapped
from rscc.engine.hooks.epoch_hooks import innermost
from rscc.engine.loops import ResumableLoop
from rscc.models.data_preprocessor import normalisation_record
from rscc.registry import HOOKS
from rscc.utils import atomic_write, did_you_mean


@register_backend('atomic', force=True)
class AtomicBackend(LocalBackend):
    """MMEngine's local files, except that a file appears whole or not at all.

    Chosen by ``backend_args=dict(backend='atomic')``, which is what ``SafeCheckpointHook`` does.
    """

    def __init__(self) -> None:
        self._waiting: list[str] | None = None

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write bytes through a temporary sibling, flushed to the disk, then renamed.

        Raises:
            OSError: If they cannot be written; names the file, its size and the free space.
        """
        try:
            with atomic_write(filepath, 'wb') as file:
                file.write(obj)
        except OSError as error:
            raise OSError(error.errno, _explain(Path(filepath), len(obj), error)) from error
        if self._waiting is not None and str(filepath) in self._waiting:
            self._waiting.remove(str(filepath))

    def remove(self, filepath: str | Path) -> None:
        """Remove a file, at the end of :meth:`removing_last` where inside one."""
        if self._waiting is None:
            super().remove(filepath)
        else:
            self._waiting.append(str(filepath))

    @contextmanager
    def removing_last(self) -> Iterator[None]:
        """Hold every removal back until the block has succeeded.

        MMEngine removes the outdated checkpoint before it writes the new one; a kill in between
        would leave neither.
        """
        self._waiting = []
        try:
            yield
            doomed = self._waiting
        finally:
            self._waiting = None
        for path in doomed:
            Path(path).unlink(missing_ok=True)


def _explain(path: Path, size: int, error: OSError) -> str:
    free = shutil.disk_usage(path.parent if path.parent.is_dir() else os.curdir).free
    why = error.strerror or error
    return (f"checkpoint '{path}' ({size / 2**20:.1f} MiB) cannot be written: {why}. "
            f'{free / 2**20:.1f} MiB are free there. Nothing was overwritten: make room, then '
            'continue with --resume')


def remove_leftovers(folder: str | os.PathLike) -> int:
    """Delete temporary files of checkpoints whose writing was killed, and return their number."""
    leftovers = list(Path(folder).glob('.*.pth.*.tmp'))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook`` with atomic writes.

    Checkpoints and the ``last_checkpoint`` note are replaced in one step, and an outdated file is
    removed only after its successor is on the disk. A mistyped option is an error here; MMEngine's
    hook takes any.

    Args:
        interval: Epochs (or iterations) between two checkpoints; -1 saves the last one only.
        by_epoch: Whether ``interval`` counts epochs.
        max_keep_ckpts: How many to keep; -1 keeps all. The best ones do not count.
        save_last: Whether the last epoch is saved whatever the interval.
        save_best: Metric, or metrics, whose best checkpoint is kept: ``'caption/all/CIDEr'``.
        rule: ``'greater'`` or ``'less'`` is better; may be left out for ``caption/...`` and
            ``change/...``, of which greater is better.
        save_optimizer: Whether training can continue from the file.
        save_param_scheduler: Whether the schedule is saved.
        save_begin: First epoch (or iteration) that counts.
        out_dir: Folder above the run's own one; None saves into the work folder.
        filename_tmpl: File name with ``{}`` for the number.
        published_keys: Parts to keep in an extra file at the end of the training.
        backend_args: MMEngine's file backend; the default one writes atomically.
    """

    _default_greater_keys = (*CheckpointHook._default_greater_keys, 'caption/', 'change/')

    def __init__(self, interval: int = 1, by_epoch: bool = True, max_keep_ckpts: int = -1,
                 save_last: bool = True, save_best: str | list[str] | None = None,
                 rule: str | list[str] | None = None, save_optimizer: bool = True,
                 save_param_scheduler: bool = True, save_begin: int = 0,
                 out_dir: str | None = None, filename_tmpl: str | None = None,
                 published_keys: str | list[str] | None = None,
                 backend_args: dict[str, Any] | None = None) -> None:
        super().__init__(interval=interval, by_epoch=by_epoch, max_keep_ckpts=max_keep_ckpts,
                         save_last=save_last, save_best=save_best, rule=rule,
                         save_optimizer=save_optimizer, save_param_scheduler=save_param_scheduler,
                         save_begin=save_begin, out_dir=out_dir, filename_tmpl=filename_tmpl,
                         published_keys=published_keys,
                         backend_args=backend_args or {'backend': 'atomic'})

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder and clear away what a killed run left half-written."""
        super().before_train(runner)
        # Only in the work folder, which is locked: elsewhere another run may be writing.
        if is_main_process() and Path(self.out_dir).resolve() == Path(runner.work_dir).resolve():
            remove_leftovers(self.out_dir)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note where the run is, how images are normalised, and whether all were rendered."""
        meta = checkpoint['meta']
        meta.update(normalisation_record(unwrapped(runner.model)))
        if isinstance(runner.train_loop, ResumableLoop):
            meta.update(runner.train_loop.progress())
        # Of several datasets in one, metainfo is that of the first.
        if 'rendered' in meta.get('dataset_meta', ()) and not all(
                one.metainfo.get('rendered') for one in innermost(runner.train_dataloader.dataset)):
            meta['dataset_meta'] = {**meta['dataset_meta'], 'rendered': False}

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, note which file is the last one, and only then drop the outdated ones."""
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        outdated = self._outdated(runner, step)
        runner.save_checkpoint(self.out_dir, name, save_optimizer=self.save_optimizer,
                               save_param_scheduler=self.save_param_scheduler, meta=meta,
                               by_epoch=self.by_epoch, backend_args=self.backend_args, **self.args)
        if not is_main_process():
            return
        with atomic_write(Path(runner.work_dir) / 'last_checkpoint') as file:
            file.write(self.last_ckpt)
        for old in outdated:
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _outdated(self, runner: Runner, step: int) -> list[int]:
        """Enter ``step`` into the list of kept checkpoints and return what falls out of it.

        The list is written into the checkpoint itself, so it must be right before saving.
        """
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        full = len(self.keep_ckpt_ids) == self.max_keep_ckpts
        outdated = [self.keep_ckpt_ids.popleft()] if full else []
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return outdated

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        absent = [name for name in self.save_best or () if name not in metrics and name != 'auto']
        if absent:
            # A model without that head, or a split without changed pairs: no reason to stop.
            runner.logger.warning(
                f"no best checkpoint is kept: save_best names '{absent[0]}', and the validation "
                f"gave {', '.join(metrics)}.{did_you_mean(absent[0], metrics)}")
            return
        if self.save_best is None or not isinstance(self.file_backend, AtomicBackend):
            super()._save_best_checkpoint(runner, metrics)
            return
        with self.file_backend.removing_last():
            super()._save_best_checkpoint(runner, metrics)
