"""Import optional packages late, with a message that says what to install."""
import importlib
from types import ModuleType

EXTRAS = {
    'jieba': 'zh',
    'peft': 'lora',
    'timm': 'timm',
    'h5py': 'hdf5',
    'rasterio': 'geo',
    'tensorboard': 'logging',
    'wandb': 'logging',
}


def require(package: str, purpose: str) -> ModuleType:
    """Import an optional package or say how to get it.

    Args:
        package: Import name, for example ``'jieba'``.
        purpose: What needs it, the subject of the message: ``'CIDEr in Chinese'``.

    Returns:
        The imported module.

    Raises:
        ImportError: If it is not installed; the message names the extra that installs it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split('.')[0] != package.split('.')[0]:
            raise
        extra = EXTRAS.get(package.split('.')[0], 'all')
        raise ImportError(
            f"{purpose} needs '{package}': pip install \"rscc[{extra}]\"") from error
