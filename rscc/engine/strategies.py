"""Training of models that outgrow one GPU, through MMEngine's strategies.

``runner_type='FlexibleRunner'`` in a config takes the runner of this module, and ``strategy`` says
how the model is spread: ``FSDPStrategy`` (weights, gradients and optimizer state in as many parts
as there are processes; torch's own) or MMEngine's ``DeepSpeedStrategy``. Both are started like any
run of several processes: ``bash tools/dist_train.sh CONFIG N``.

All processes must call the layers of a split model equally often, for each call gathers the parts
of a layer. Training does; a search, which ends where a sentence ends, does not. So these runs
neither validate nor test: their checkpoints are whole, and ``tools/test.py`` reads them with the
same config.
"""
from contextlib import nullcontext
from typing import Any, NoReturn

import torch
from mmengine._strategy import FSDPStrategy as _FSDPStrategy
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.runner import FlexibleRunner as _FlexibleRunner
from torch import Tensor, nn
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from rscc import compat
from rscc.engine.checkpoint import load_weights, read_checkpoint
from rscc.engine.distributed import only_run, start_process_group
from rscc.models.language_models import LanguageModel
from rscc.registry import RUNNERS, STRATEGIES

_ALONE = ('a split model cannot validate or test, because its processes would write sentences of '
          'different lengths and wait for each other: ')


@RUNNERS.register_module()
class FlexibleRunner(_FlexibleRunner):
    """Train a split model by config; see the module.

    Unlike MMEngine's, it holds its work folder for one training, and refuses what would wait for
    ever.

    Raises:
        ValueError: If the config has no strategy, or a strategy but a single process.
    """

    def build_strategy(self, strategy: Any = None, launcher: str = 'none', **options: Any) -> Any:
        """Build the strategy of the config, ours where we have one of that name."""
        if not strategy:
            raise ValueError("runner_type='FlexibleRunner' needs a strategy: set strategy=dict("
                             "type='FSDPStrategy') or 'DeepSpeedStrategy', or leave runner_type "
                             'out')
        if launcher == 'none':
            raise ValueError(f"strategy '{strategy['type']}' spreads a model over several "
                             'processes: start them with bash tools/dist_train.sh CONFIG N')
        if strategy['type'] == 'DeepSpeedStrategy':
            require_deepspeed()
        compat.prepare_torchvision()  # MMEngine imports it to log its version
        compat.format_configs_once()
        compat.allow_mmengine_checkpoints()
        kind = strategy['type']
        if isinstance(kind, str) and kind in STRATEGIES.module_dict:
            strategy = dict(strategy, type=f'{STRATEGIES.scope}.{kind}')
            strategy['load_from'] = None if self._resume else self._load_from
        return super().build_strategy(strategy, launcher=launcher, **options)

    def train(self) -> nn.Module:
        """Train without validation.

        Raises:
            BlockingIOError: If another training is at work in the work folder.
            ValueError: If the config asks for validations.
        """
        begin = (self.cfg.get('train_cfg') or {}).get('val_begin', 1)
        if self._val_loop is not None and begin <= self.max_epochs_asked:
            raise ValueError(_ALONE + 'set train_cfg.val_begin above its last epoch, and run '
                             'tools/test.py on the checkpoints')
        with only_run(self.work_dir) if is_main_process() else nullcontext():
            return super().train()

    def load_or_resume(self) -> None:
        """Leave it to our strategy, which has loaded ``load_from`` before the model was split.

        Raises:
            ValueError: If a training is to be resumed.
        """
        if not isinstance(self.strategy, FSDPStrategy):
            super().load_or_resume()
        elif self._resume:
            raise ValueError('a training of a split model cannot be resumed: start another one '
                             'from its weights, load_from=CKPT without --resume')

    @property
    def max_epochs_asked(self) -> int:
        """Epochs, or iterations, of the training that the config asks for."""
        told = self.cfg.get('train_cfg') or {}
        return told.get('max_epochs') or told.get('max_iters') or 0

    def val(self) -> NoReturn:
        """Refuse to validate."""
        raise ValueError(_ALONE + 'run tools/test.py on its checkpoint')

    test = val


def require_deepspeed() -> None:
    """Refuse a config for DeepSpeed where it is not installed.

    Raises:
        ImportError: With what installs it.
    """
    import importlib.util
    if importlib.util.find_spec('deepspeed') is None:
        raise ImportError("strategy 'DeepSpeedStrategy' needs 'deepspeed', which compiles against "
                          'CUDA: pip install deepspeed; FSDPStrategy needs nothing beside torch')


@STRATEGIES.register_module()
class FSDPStrategy(_FSDPStrategy):
    """MMEngine's FSDP strategy, which splits the layers of language models and runs on CPUs too.

    Args:
        **kwargs: As in ``mmengine._strategy.FSDPStrategy``. Without ``auto_wrap_policy`` in
            ``model_wrapper`` every layer of a model of transformers is a part of its own, and
            whatever is left another; without ``state_dict_cfg`` checkpoints are whole.
        load_from: Checkpoint whose weights the model starts from; what does not fit is logged.

    Raises:
        ValueError: If gradients are to be clipped: each process knows the norm of its part alone.
    """

    def __init__(self, load_from: str | None = None, **kwargs: Any) -> None:
        self.load_from = load_from
        # Whole checkpoints. Without a GPU there is nothing to offload from: torch 2.13 dies of it.
        kept = dict(rank0_only=True, offload_to_cpu=True) if torch.cuda.is_available() else {}
        kwargs.setdefault('state_dict_cfg', dict(
            state_dict_type='FULL_STATE_DICT',
            state_dict_config=dict(type='FullStateDictConfig', **kept),
            optim_state_dict_config=dict(type='FullOptimStateDictConfig', **kept)))
        super().__init__(**kwargs)

    def _setup_distributed(self, launcher: str = 'pytorch', backend: str | None = None,
                           **kwargs: Any) -> None:
        start_process_group(launcher, backend, **kwargs)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, and load it while it is whole."""
        model = super().build_model(model)
        if self.load_from is not None:
            report = load_weights(model, read_checkpoint(self.load_from))
            self.logger.info(f"weights of '{self.load_from}': {report}")
        return model

    def build_optim_wrapper(self, optim_wrapper: Any, model: nn.Module | None = None) -> Any:
        """Build what updates the parts."""
        if isinstance(optim_wrapper, dict) and optim_wrapper.get('clip_grad'):
            raise ValueError('FSDPStrategy cannot clip gradients, because each process would clip '
                             'its part by another norm: set optim_wrapper.clip_grad=None')
        return super().build_optim_wrapper(optim_wrapper, model)

    def model_state_dict(self) -> dict[str, Tensor]:
        """Gather the weights, but for those that are loaded from where they were published."""
        state = super().model_state_dict()
        for place, module in self.model.module.named_modules():
            if isinstance(module, LanguageModel):
                place = place.replace('_fsdp_wrapped_module.', '')
                for name in module.left_out():
                    state.pop(f'{place}.model.{name}', None)
        return state

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        for module in model.modules():
            if isinstance(module, LanguageModel):
                module.split = True
        wrapper = dict(self.model_wrapper or {})
        wrapper.setdefault('auto_wrap_policy', ModuleWrapPolicy(layer_kinds(model)))
        if get_device() == 'cpu':
            wrapper['device_id'] = torch.device('cpu')
        self.model_wrapper = wrapper
        return super()._wrap_model(model)


def layer_kinds(model: nn.Module) -> set[type]:
    """Return the classes of the layers of transformers' models inside a model.

    Raises:
        ValueError: If there are none: nothing would be split.
    """
    kind = compat.import_transformers('modeling_layers').GradientCheckpointingLayer
    found = {type(layer) for layer in model.modules() if isinstance(layer, kind)}
    if not found:
        raise ValueError('FSDPStrategy splits the layers of models of transformers, and this model '
                         'has none: name its own in strategy.model_wrapper.auto_wrap_policy, or '
                         'leave strategy out')
    return found
