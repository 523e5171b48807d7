"""Children of MMEngine's optimizer registries.

Without them MMEngine warns, on every build in our scope, that it fell back to its own.
"""
from mmengine import registry as mmengine_registry

from rscc.registry import SCOPE, Registry


def _child(name: str) -> Registry:
    parent = getattr(mmengine_registry, name)
    return Registry(parent.name, parent=parent, scope=SCOPE, locations=['rscc.engine'])


OPTIMIZERS = _child('OPTIMIZERS')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS')
FUNCTIONS = _child('FUNCTIONS')
