"""Inference from Python: ``from rscc.apis import ChangeInferencer, interpret_scene``."""
import importlib
from typing import Any

_HOMES = {'ChangeInferencer': 'rscc.apis.inferencer', 'InferenceResult': 'rscc.inference.result',
          'interpret_scene': 'rscc.apis.scenes', 'OutputOptions': 'rscc.scenes.contracts'}
__all__ = ['ChangeInferencer', 'InferenceResult', 'OutputOptions', 'interpret_scene']


def __getattr__(name: str) -> Any:
    """Import the models only when inference is asked for: the tools share this package."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rscc.apis' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
