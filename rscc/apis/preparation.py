"""What a config does to an image before the model sees it."""
from collections.abc import Callable
from typing import Any

from mmengine.config import Config

from rscc.registry import TRANSFORMS

#: Transforms that look at annotations, which new images do not have.
_NEED_ANSWERS = ('LoadChangeMask', 'PickCaptions')


def tested_dataset(cfg: Config) -> dict:
    """Return the test dataset's config, inside whatever wraps it; empty where there is none."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset and ('dataset' in dataset or dataset.get('datasets')):
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def image_steps(cfg: Config) -> list[dict[str, Any]]:
    """Return the test pipeline's steps for an image without annotations.

    The resizing of the dataset's cache is among them: frames that it stores smaller are what the
    model was trained on.

    Raises:
        ValueError: If they do not begin with LoadFrames and end with PackChangeInputs.
    """
    steps = [step for step in tested_dataset(cfg).get('pipeline') or ()
             if step['type'] not in _NEED_ANSWERS]
    kinds = [step['type'] for step in steps]
    if kinds[:1] != ['LoadFrames'] or kinds[-1:] != ['PackChangeInputs']:
        raise ValueError('test_dataloader.dataset.pipeline of the config must begin with '
                         f'LoadFrames and end with PackChangeInputs; found {kinds}')
    size = (tested_dataset(cfg).get('cache') or {}).get('size')
    if size is not None:
        steps.insert(1, {'type': 'FramesResize', 'size': tuple(size)})
    return steps


def image_pipeline(cfg: Config) -> tuple[Callable[[dict], dict], list[Callable[[dict], dict]]]:
    """Build the loading transform and the steps after it, see :func:`image_steps`."""
    load, *rest = [TRANSFORMS.build(step) for step in image_steps(cfg)]
    return load, rest
