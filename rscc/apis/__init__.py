"""Inference from Python: ``from rscc.apis import ChangeInferencer``."""
from typing import Any

__all__ = ['ChangeInferencer', 'InferenceResult']


def __getattr__(name: str) -> Any:
    """Import the models only when inference is asked for: the tools share this package."""
    if name == 'ChangeInferencer':
        from rscc.apis.inferencer import ChangeInferencer
        return ChangeInferencer
    if name == 'InferenceResult':
        from rscc.inference.result import InferenceResult
        return InferenceResult
    raise AttributeError(f"module 'rscc.apis' has no attribute '{name}'")
