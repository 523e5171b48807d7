"""Schema of a config: which registry builds the dict under each key, and with which keywords."""
import functools
import inspect
from dataclasses import dataclass, replace
from typing import Any

from rscc.utils.names import did_you_mean
from rscc.utils.signatures import Keywords, keywords_of

#: Keys that the builders read themselves.
BUILDER_KEYS = {'type', '_scope_', '_delete_'}
#: Projects whose registered classes a config may name by scope.
SCOPES = ('rscc', 'mmseg', 'mmengine')
#: Top-level keys of this project's tools, beside the runner's own arguments.
TOOL_KEYS = {'strict_load', 'runner_type', 'find_unused_parameters',
             'model_wrapper_cfg', 'activation_checkpointing', 'compile', 'sync_bn',
             'efficient_conv_bn_eval', 'vis_backends'}
_LOADER_EXTRAS = {'dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn',
                  'num_batch_per_epoch', 'disable_subprocess_warning'}
#: What a registry's builder takes besides the constructor's keywords.
_EXTRAS = {
    'OPTIM_WRAPPERS': {'constructor', 'paramwise_cfg', 'optimizer'},
    'PARAM_SCHEDULERS': {'convert_to_iter_based'},
    'HOOKS': {'priority'},
    'LOOPS': {'by_epoch'},
    'MODELS': {'init_cfg'},
}
#: Dicts with a ``type`` that no registry of ours builds.
_OPAQUE = {'init_cfg', 'config', 'text_config', 'vision_config', 'paramwise_cfg', 'clip_grad',
           'override', 'metainfo', 'rope_scaling', 'loader_cfg'}
_TOP = {
    'model': 'MODELS', 'data_preprocessor': 'MODELS',
    'val_evaluator': 'METRICS', 'test_evaluator': 'METRICS', 'default_hooks': 'HOOKS',
    'custom_hooks': 'HOOKS', 'optim_wrapper': 'OPTIM_WRAPPERS',
    'param_scheduler': 'PARAM_SCHEDULERS', 'train_cfg': 'LOOPS', 'val_cfg': 'LOOPS',
    'test_cfg': 'LOOPS', 'visualizer': 'VISUALIZERS', 'vis_backends': 'VISBACKENDS',
    'log_processor': 'LOG_PROCESSORS', 'model_wrapper_cfg': 'MODEL_WRAPPERS',
    'strategy': 'STRATEGIES',
}
_BELOW = {'tokenizer': 'TOKENIZERS', 'pipeline': 'TRANSFORMS', 'transforms': 'TRANSFORMS',
          'optimizer': 'OPTIMIZERS', 'vis_backends': 'VISBACKENDS', 'metrics': 'METRICS',
          'model_wrapper': 'MODEL_WRAPPERS',
          'density': 'NOISE_DENSITIES', 'weighting': 'LOSS_WEIGHTINGS',
          'schedule': 'SIGMA_SCHEDULES', 'sampler': 'SAMPLERS'}
#: Registries of functions, which a name alone chooses.
_FUNCTIONS = {'NOISE_DENSITIES', 'LOSS_WEIGHTINGS', 'SIGMA_SCHEDULES', 'SAMPLERS'}
_BELOW_LOADER = {'dataset': 'DATASETS', 'datasets': 'DATASETS', 'sampler': 'DATA_SAMPLERS',
                 'batch_sampler': 'DATA_SAMPLERS', 'collate_fn': 'FUNCTIONS',
                 'worker_init_fn': 'FUNCTIONS'}
_DEFAULTS = {'train_cfg': 'EpochBasedTrainLoop', 'val_cfg': 'ValLoop', 'test_cfg': 'TestLoop',
             'optim_wrapper': 'OptimWrapper', 'log_processor': 'LogProcessor',
             'model_wrapper_cfg': 'MMDistributedDataParallel'}


@dataclass(frozen=True)
class Schema:
    """A position in a config.

    Attributes:
        registry: Attribute name of the registry that builds dicts here, or ''.
        default: Type where none is given, its name or the class or function itself.
        loader: Whether this dict describes a dataloader itself.
        loading: Whether this is somewhere below a dataloader.
        opaque: Whether the dicts here are not built by us.
        scope: Another project's scope that its own parts are looked up in, with a final dot.
        key: Name of the innermost key.
    """
    registry: str = ''
    default: Any = None
    loader: bool = False
    loading: bool = False
    opaque: bool = False
    scope: str = ''
    key: str = ''

    @property
    def complete(self) -> bool:
        """Whether nothing but the config gives keywords here, so that required ones must be set."""
        return self.registry in ('TRANSFORMS', 'DATASETS', 'HOOKS', 'METRICS')

    @property
    def by_name(self) -> bool:
        """Whether a function is chosen here: a name will do, and its caller fills in the rest."""
        return self.registry in _FUNCTIONS and _BELOW.get(self.key) == self.registry

    @property
    def lenient(self) -> bool:
        """Whether an unknown type may belong to a registry of another project."""
        return bool(self.scope) and self.key in ('sampler', 'assigner', 'test_cfg', 'train_cfg')

    def below(self, key: str, owner: Any = None) -> 'Schema':
        """Return the schema of ``key`` inside this one.

        Args:
            key: The key.
            owner: Class or function that takes it. Where its dict has no ``type``, the
                ``NESTED_OPTIONS`` of a :class:`rscc.registry.Part` tell whose keywords it holds.
        """
        from rscc.registry import Part
        nested = isinstance(owner, type) and issubclass(owner, Part)
        part = owner.NESTED_OPTIONS.get(key) if nested else None
        if part is not None:
            return Schema(default=part, opaque=self.opaque or key in _OPAQUE, key=key)
        names = _BELOW | _BELOW_LOADER if self.loading or self.loader else _BELOW
        return Schema(names.get(key, self.registry), loading=self.loading or self.loader,
                     opaque=self.opaque or key in _OPAQUE, scope=self.scope, key=key)

    def within(self, kind: Any) -> 'Schema':
        """Return this schema as seen by the parts of an object of type ``kind``."""
        foreign = isinstance(kind, str) and '.' in kind and kind.split('.')[0] == 'mmseg'
        return replace(self, default=None, scope='mmseg.' if foreign else self.scope)

    def find(self, kind: Any) -> Any | None:
        """Return the class or function behind a type, or None."""
        if kind is None or not isinstance(kind, str):
            return kind
        for name in ([self.scope + kind] if self.scope and '.' not in kind else []) + [kind]:
            for registry in self._registries():
                found = _get(registry, name)
                if found is not None:
                    return found
        return None

    def registered(self, kind: Any) -> Any | None:
        """Return what a name is registered as, or None; unlike ``find`` it imports nothing for it.

        Args:
            kind: The name, plain or with the scope of this project, MMSegmentation or MMEngine.
        """
        if not isinstance(kind, str):
            return None
        scope, _, name = kind.rpartition('.')
        if scope not in ('', *SCOPES):
            return None
        scope = scope or self.scope.rstrip('.')
        names = self._registries() + (['TASK_UTILS'] if self.lenient else [])
        for level in (one for registry in filter(None, names) for one in _levels(registry, scope)):
            if name in level.module_dict:
                return level.module_dict[name]
        return None

    def _registries(self) -> list[str]:
        return [self.registry, 'EVALUATOR'] if self.registry == 'METRICS' else [self.registry]

    def keywords(self, target: Any) -> Keywords:
        """Return what may be written beside the type."""
        found = keywords_of(target)
        if self.by_name:
            found.names &= set(found.defaults)
        found.names |= _EXTRAS.get(self.registry, set())
        builder = getattr(target, 'build_iter_from_epoch', None)
        if builder is not None:
            found.names |= keywords_of(builder).names
        return found

    def not_found(self, kind: str) -> str:
        """Say that a type is unknown, naming the nearest one."""
        from rscc.registry import OWN_CLASS
        known = [name for registry in self._registries() for name in _names(registry)]
        title = ' or '.join(self._registries()).lower().replace('_', ' ')
        own = '' if self.registry in _FUNCTIONS else OWN_CLASS
        return f"no '{kind}' among the {title}.{did_you_mean(kind, known)}{own}"


def schema_of(key: str) -> Schema | None:
    """Return the schema of a top-level key; None for a config's own variables."""
    if key.endswith('_dataloader'):
        return Schema(loader=True, key=key)
    if key.endswith('_pipeline'):
        return Schema('TRANSFORMS', key=key)
    if key in _TOP:
        return Schema(_TOP[key], default=_DEFAULTS.get(key), key=key)
    return None


@functools.cache
def runner_keys() -> set[str]:
    """Return every top-level key that means something."""
    from mmengine.runner import Runner
    keys = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
    return keys | TOOL_KEYS


@functools.cache
def loader_keywords() -> set[str]:
    """Return what may be written in a dataloader's dict."""
    from torch.utils.data import DataLoader
    return set(inspect.signature(DataLoader.__init__).parameters) - {'self'} | _LOADER_EXTRAS


def _registry(name: str) -> Any:
    """Return our registry of that name, else MMEngine's."""
    from mmengine import registry as mmengine_registry

    from rscc import registry as ours
    if hasattr(ours, name):
        return getattr(ours, name)
    # The optimizer's registries have children of ours once the engine is imported.
    ours.HOOKS.import_from_location()
    parent = getattr(mmengine_registry, name)
    return parent.children.get(ours.SCOPE, parent)


def _levels(name: str, scope: str) -> list[Any]:
    """Return the registries in which a scope looks a name up, filled, nearest first."""
    level, levels = _registry(name), []
    while level is not None:
        levels.append(level)
        level = level.parent
    if scope == 'mmseg':
        from rscc.compat import import_mmseg_models
        import_mmseg_models()
        levels = [levels[-1].children.get('mmseg', levels[-1]), *levels]
    for level in levels:
        level.import_from_location()
    return levels


def _get(registry: str, kind: str) -> Any | None:
    if kind.startswith('mmseg.'):
        from rscc.compat import import_mmseg_models
        import_mmseg_models()
    try:
        return _registry(registry).get(kind)
    except (KeyError, ImportError, ValueError, AttributeError):
        return None


def _names(registry: str) -> list[str]:
    found = _registry(registry)
    return found.known_names() if hasattr(found, 'known_names') else sorted(found.module_dict)
