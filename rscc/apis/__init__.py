"""What a notebook calls: ``from rscc.apis import get_model, list_models, interpret_scene``."""
import importlib
from typing import Any

_HOMES = {'ChangeInferencer': 'rscc.apis.inferencer', 'InferenceResult': 'rscc.inference.result',
          'interpret_scene': 'rscc.apis.scenes', 'OutputOptions': 'rscc.scenes.contracts',
          'get_config': 'rscc.apis.models', 'get_model': 'rscc.apis.models',
          'list_models': 'rscc.apis.models', 'model_infos': 'rscc.apis.models',
          'save_model': 'rscc.apis.models'}
__all__ = ['ChangeInferencer', 'InferenceResult', 'OutputOptions', 'get_config', 'get_model',
           'interpret_scene', 'list_models', 'model_infos', 'save_model']


def __getattr__(name: str) -> Any:
    """Import the models only when they are asked for: the tools share this package."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rscc.apis' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
