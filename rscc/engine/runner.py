"""MMEngine's runner with verified checkpoints, one run a work folder, and checks at the start."""
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmengine.device import get_device
from mmengine.dist import is_distributed, is_main_process
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner as _Runner
from mmengine.runner import TestLoop
from torch import nn

from rscc.compat import format_configs_once, prepare_torchvision
from rscc.config.files import find_checkpoint
from rscc.engine.checkpoint import last_good_checkpoint, load_fitting, read_checkpoint
from rscc.engine.compiling import compile_parts
from rscc.engine.distributed import only_run, start_process_group, unwrapped
from rscc.engine.loops import ResumableLoop
from rscc.evaluation.metrics import SampleMetric
from rscc.late_imports import version_alone
from rscc.models.data_preprocessor import restore_normalisation
from rscc.models.novelty import restore_novelty
from rscc.registry import RUNNERS


class OnceFilter(logging.Filter):
    """Log filter: each warning once, and none of those that only MMEngine's authors can heed."""

    _FOR_AUTHORS = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged."""
        if record.levelno != logging.WARNING:
            return True
        message = record.getMessage()
        known = message in self._seen or message.startswith(self._FOR_AUTHORS)
        self._seen.add(message)
        return not known


@RUNNERS.register_module()
class Runner(_Runner):
    """Train, validate and test by config.

    These things differ from MMEngine's:

    * One work folder has one training at a time.
    * Checkpoints are read with ``weights_only`` on every torch version.
    * ``resume=True`` without a file takes the last checkpoint that really loads, ``resume='auto'``
      takes it although there is a file to start from.
    * A checkpoint that does not fit the model is an error when testing and resuming. Starting a
      training from other weights (``load_from``) warns with counts, and fails if nothing matches.
      ``--cfg-options strict_load=False`` (or ``True``) overrules both.
    * ``compile`` compiles the parts of a model of ours, see :mod:`rscc.engine.compiling`.
    """

    _must_match = False
    _meta: Mapping = MappingProxyType({})

    def setup_env(self, env_cfg: dict) -> None:
        """Start the process group (also without GPUs), then do as MMEngine does."""
        # What a part imports when it is first used (timm, for instance) brings torchvision.
        prepare_torchvision()
        format_configs_once()
        if self.distributed and not is_distributed():
            start_process_group(self.launcher, **env_cfg.get('dist_cfg') or {})
        super().setup_env(env_cfg)

    def _log_env(self, env_cfg: dict) -> None:
        with version_alone('torchvision'):
            super()._log_env(env_cfg)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build MMEngine's logger, which then repeats no warning."""
        logger = super().build_logger(*args, **kwargs)
        logger.addFilter(OnceFilter())
        return logger

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap for several processes; on CPUs DDP must not be given a device."""
        if self.distributed and get_device() == 'cpu' and not is_model_wrapper(model):
            model_wrapper_cfg = dict(model_wrapper_cfg or {
                'broadcast_buffers': False,
                'find_unused_parameters': self.cfg.get('find_unused_parameters', False)})
            model_wrapper_cfg.setdefault('device_ids', None)
        return super().wrap_model(model_wrapper_cfg, model)

    def load_or_resume(self) -> None:
        """Load ``load_from``, or continue: from it, or from the last good checkpoint.

        ``resume='auto'`` continues from the work folder and, where it has nothing to continue from,
        starts as it would have started without: from ``load_from``, if there is one.
        """
        if self._has_loaded:
            return
        if self._resume:
            named = None if self._resume == 'auto' else self._load_from
            path = named or last_good_checkpoint(self.work_dir)
            if path is not None:
                self.resume(str(path))
                return
            start = 'fresh' if self._load_from is None else f"from '{self._load_from}'"
            self.logger.info(f"nothing to resume in '{self.work_dir}': training starts {start}")
            self._resume = False  # hooks treat weights of a start otherwise
        if self._load_from is not None:
            self.load_checkpoint(self._load_from)

    def resume(self, filename: str, resume_optimizer: bool = True,
               resume_param_scheduler: bool = True,
               map_location: str | Callable = 'default') -> None:
        """Continue a run: weights, optimizer, schedule, log, epoch and sample order.

        Raises:
            ValueError: If the checkpoint belongs to another model, or holds weights alone.
        """
        if str(find_checkpoint(filename)).endswith('.safetensors'):
            raise ValueError(f"'{filename}' cannot be resumed: it holds no optimizer. Start a new "
                             f'training from its weights: --cfg-options load_from={filename}')
        self._must_match = True
        try:
            super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        except ValueError as error:
            if 'parameter group' not in str(error):  # torch's words
                raise
            raise ValueError(
                f"'{filename}' cannot be resumed: its optimizer sorted parameters otherwise, as "
                'another loss_weighting, freeze, layer_decay or custom_keys does. Resume with the '
                'config in its folder, or start a new training from its weights: --cfg-options '
                f'load_from={filename}') from error
        self._must_match = False
        if isinstance(self.train_loop, ResumableLoop):
            self.train_loop.resume_at(self._meta)
        # The loader was built with this run's seed before the checkpoint told the real one.
        sampler = self.train_dataloader.sampler
        if 'seed' in vars(sampler):  # as MMEngine's and ours name it
            sampler.seed = self.seed

    def load_checkpoint(self, filename: str, map_location: str | Callable = 'cpu',
                        strict: bool | None = None, revise_keys: list | None = None) -> dict:
        """Load a checkpoint's weights into the model.

        Args:
            filename: Local file or address.
            map_location: As in ``torch.load``.
            strict: Whether every key must match; by default when testing and resuming.
            revise_keys: Unused (``module.`` is always stripped); kept for MMEngine's signature.

        Returns:
            The whole checkpoint.

        Raises:
            ValueError: Listing missing, unexpected and mis-shaped keys.
        """
        checkpoint = read_checkpoint(filename, map_location)
        # MMEngine's resume would execute this text as Python.
        self._meta = checkpoint.get('meta', {})
        self._meta.pop('config', None)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        if strict is None:
            strict = self.cfg.get('strict_load', self._must_match)
        report = load_fitting(self.model, checkpoint, filename, strict)
        restore_normalisation(unwrapped(self.model), checkpoint, report.missing)
        if self._must_match:  # weights that a training starts from will not be the same for long
            restore_novelty(unwrapped(self.model), checkpoint)
            self._tell_metrics()
        if not report.exact:
            self.logger.warning(f"checkpoint '{filename}' fits the model in part: {report}")
        self._has_loaded = True
        self.logger.info(f"loaded {report.matched} tensors from '{filename}'")
        return checkpoint

    @property
    def weights(self) -> Mapping[str, Any]:
        """Metadata of the checkpoint that was loaded; empty where none was."""
        return self._meta

    def _tell_metrics(self) -> None:
        """Tell the metrics of a test what the checkpoint says of itself."""
        if isinstance(self._test_loop, TestLoop):
            for metric in self._test_loop.evaluator.metrics:
                if isinstance(metric, SampleMetric):
                    metric.weights = self.weights

    def val(self) -> dict[str, Any]:
        """Validate; a checkpoint must fit exactly."""
        self._must_match = True
        self._keep_config()
        self._maybe_compile('val_step')
        return super().val()

    def test(self) -> dict[str, Any]:
        """Test; a checkpoint must fit exactly."""
        self._must_match = True
        self._keep_config()
        self._maybe_compile('test_step')
        return super().test()

    def train(self) -> nn.Module:
        """Train; weights of ``load_from`` may fit in part.

        Raises:
            BlockingIOError: If another training is at work in the work folder.
        """
        self._must_match = False
        with only_run(self.work_dir) if is_main_process() else nullcontext():
            super().dump_config()
            return super().train()

    def dump_config(self) -> None:
        """Write nothing yet: the config in the folder may be that of a run at work."""

    def _maybe_compile(self, target: str) -> None:
        if not compile_parts(self.model, self.cfg.get('compile'), get_device()):
            super()._maybe_compile(target)

    def _keep_config(self) -> None:
        """Write the config into the folder of a test, unless that is the folder of a training."""
        if not (Path(self.work_dir) / '.lock').exists():
            super().dump_config()
