"""Registries of scope ``rscc``: children of MMEngine's, filled on first use.

A config says ``default_scope = 'rscc'`` and names our classes plainly, those of MMSegmentation as
``mmseg.FCNHead``.
"""
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmengine import registry as mmengine_registry
from mmengine.registry import DefaultScope
from mmengine.registry import Registry as _Registry

from rscc import compat
from rscc.utils.imports import import_siblings
from rscc.utils.names import did_you_mean
from rscc.utils.signatures import refuse_unknown

SCOPE = 'rscc'
#: What to do about a name that no registry knows, beside a mistyped one.
OWN_CLASS = ' A class of your own needs @...register_module() above it, and its module imported'


class Part:
    """Base class of a model and its parts: what they tell the rest of the project about themselves.

    Nothing else is asked of a part by name; the defaults say "nothing special".

    Attributes:
        NESTED_OPTIONS: Keyword of the constructor to the class or function whose keywords its dict
            holds, ``dict(decoding=Decoding)``; the check of configs compares names with those.
        CARRIED: Names of buffers that the config determines and checkpoints carry along (a word
            vocabulary, or the architecture of a published backbone); checkpoints of other code
            bases lack them.
        PRETRAINED_OPTIONAL: Whether the config alone tells the architecture, so that a model whose
            weights come from a checkpoint is built without reading ``pretrained``.
        ASKED: Attributes that every part of the kind has once it is built, and what its class
            writes for each.
    """

    NESTED_OPTIONS: ClassVar[dict[str, Any]] = {}
    CARRIED: ClassVar[tuple[str, ...]] = ()
    PRETRAINED_OPTIONAL: ClassVar[bool] = False
    ASKED: ClassVar[Mapping[str, str]] = {}

    @property
    def title(self) -> str:
        """Name of the part in messages."""
        return type(self).__name__

    def needs(self) -> Sequence:
        """Return the features that the part reads, each a :class:`rscc.models.contracts.Need`."""
        return ()

    def misfit(self, given: Any) -> str:
        """Return what keeps the part from reading such features, in a sentence, or ''.

        Args:
            given: A :class:`rscc.models.contracts.FeatureSpec`.
        """
        return next(filter(None, (need.misfit(self.title, given) for need in self.needs())), '')

    def learning_rates(self) -> dict[str, float]:
        """Return peak learning rates of the part's own parameters that have a scale of their own.

        Keys are names inside the part. ``GroupedConstructor`` gives them these in place of the
        config's, and no weight decay.
        """
        return {}

    def describe_last_batch(self) -> str:
        """Return what a report of a non-finite loss should know of the last batch, or ''."""
        return ''


class Registry(_Registry):
    """MMEngine's registry plus two things: the nearest name in errors, and MMSegmentation by scope.

    MMSegmentation's classes build their own parts (losses, norms) in the current default scope,
    which is ours; here they are built inside theirs, so ``dict(type='mmseg.FCNHead', ...)`` takes
    any config that MMSegmentation takes.
    """

    def known_names(self) -> list[str]:
        """Return every plain name this registry and its parents accept, sorted."""
        names, level = set(), self
        while level is not None:
            level.import_from_location()
            names.update(level.module_dict)
            level = level.parent
        return sorted(names)

    def import_from_location(self) -> None:
        """Import the locations, and of a package every module inside.

        A package whose other modules answer without MMEngine need not import all of them itself.
        """
        first = not self._imported
        super().import_from_location()
        for location in self._locations if first else ():
            module = sys.modules[location]
            if hasattr(module, '__path__'):
                import_siblings(module)

    def get(self, key: str) -> Any:
        """Return what is registered as ``key``, MMSegmentation's classes by scope among them."""
        if key.startswith('mmseg.'):
            compat.import_mmseg_models()
        return super().get(key)

    def build(self, cfg: dict, *args, **kwargs) -> Any:
        """Build an object from its config.

        Args:
            cfg: A dict with ``type`` and the constructor's keywords.

        Raises:
            KeyError: If the type is unknown; the message names the nearest known one.
            TypeError: If it takes no such keyword; the message names the nearest one. If its class
                lacks a method or an attribute that the base class asks for; the message names all
                that are missing.
        """
        try:
            built = self._build(cfg, *args, **kwargs)
        except TypeError:
            kind = cfg.get('type') if isinstance(cfg, dict) else None
            target = self.get(kind) if isinstance(kind, str) else kind
            if target is not None:
                refuse_incomplete(target)
                refuse_unknown((key for key in cfg if key not in ('type', '_scope_')), target,
                               getattr(target, '__name__', str(kind)))
            raise
        if isinstance(built, Part):
            refuse_unfinished(built)
        return built

    def _build(self, cfg: dict, *args, **kwargs) -> Any:
        kind = cfg.get('type') if isinstance(cfg, dict) else None
        if isinstance(kind, str) and kind.startswith('mmseg.'):
            compat.import_mmseg_models()
            with DefaultScope.overwrite_default_scope('mmseg'):
                return super().build(cfg, *args, **kwargs)
        if isinstance(kind, str) and self.get(kind) is None:
            raise KeyError(f"no '{kind}' in the {SCOPE} {self.name} registry."
                           f'{did_you_mean(kind, self.known_names())}{OWN_CLASS}')
        return super().build(cfg, *args, **kwargs)


def refuse_incomplete(kind: Any) -> None:
    """Refuse a class that does not write what its base class leaves open.

    Raises:
        TypeError: With the methods that are missing and the class that asks for them.
    """
    missing = sorted(getattr(kind, '__abstractmethods__', ()))
    if missing:
        asking = next(base.__name__ for base in kind.__mro__ if missing[0] in vars(base))
        raise TypeError(f'{kind.__name__} has no {" and no ".join(f"{name}()" for name in missing)}'
                        f', which {asking} asks every class to write: see the recipes in '
                        'CONTRIBUTING.md, or the docstring there')


def refuse_unfinished(part: Part) -> None:
    """Refuse a part without an attribute that its base class asks for.

    Raises:
        TypeError: With all that are missing, and what the class has to write for them.
    """
    missing = [told for name, told in part.ASKED.items() if not hasattr(part, name)]
    if missing:
        asking = next(base.__name__ for base in reversed(type(part).__mro__)
                      if 'ASKED' in vars(base) and vars(base)['ASKED'])
        raise TypeError(f'{type(part).__name__} has no {" and no ".join(missing)}, which {asking} '
                        'asks every class to set in its constructor: see the recipes in '
                        'CONTRIBUTING.md, or the docstring there')


def _child(name: str, location: str) -> Registry:
    """Make our child of MMEngine's registry ``name``, filled by importing ``location``."""
    parent = getattr(mmengine_registry, name)
    return Registry(parent.name, parent=parent, scope=SCOPE, locations=[location])


MODELS = _child('MODELS', 'rscc.models')
DATASETS = _child('DATASETS', 'rscc.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'rscc.datasets')
TRANSFORMS = _child('TRANSFORMS', 'rscc.datasets.transforms')
METRICS = _child('METRICS', 'rscc.evaluation')
EVALUATOR = _child('EVALUATOR', 'rscc.evaluation')
HOOKS = _child('HOOKS', 'rscc.engine')
LOOPS = _child('LOOPS', 'rscc.engine')
RUNNERS = _child('RUNNERS', 'rscc.engine')
STRATEGIES = _child('STRATEGIES', 'rscc.engine')
LOG_PROCESSORS = _child('LOG_PROCESSORS', 'rscc.engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'rscc.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'rscc.engine')
OPTIMIZERS = _child('OPTIMIZERS', 'rscc.engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'rscc.engine')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'rscc.engine')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'rscc.engine')
FUNCTIONS = _child('FUNCTIONS', 'rscc.engine')
VISUALIZERS = _child('VISUALIZERS', 'rscc.visualization.panels')
VISBACKENDS = _child('VISBACKENDS', 'rscc.visualization.panels')
#: Caption tokenizers; there is no such registry above ours.
TOKENIZERS = Registry('tokenizer', scope=SCOPE, locations=['rscc.text'])
# Plain functions of the diffusion mathematics, chosen by name (rscc.models.diffusion.samplers); no
# such registries above ours either.
NOISE_DENSITIES = Registry('noise density', scope=SCOPE, locations=['rscc.models.diffusion'])
LOSS_WEIGHTINGS = Registry('loss weighting', scope=SCOPE, locations=['rscc.models.diffusion'])
SIGMA_SCHEDULES = Registry('sigma schedule', scope=SCOPE, locations=['rscc.models.diffusion'])
SAMPLERS = Registry('sampler', scope=SCOPE, locations=['rscc.models.diffusion'])


@OPTIMIZERS.register_module(name='Adafactor')
def _adafactor(params: Any, **kwargs: Any) -> Any:
    """Build the optimizer of transformers, which is imported for it alone (see ``rscc``).

    Args:
        params: Parameters, or groups of them.
        **kwargs: Those of ``transformers.Adafactor``.
    """
    return compat.import_transformers('optimization').Adafactor(params, **kwargs)
