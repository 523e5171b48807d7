"""Check of class counts: those of the labels against the change head and its losses."""
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rscc.config.schema import Schema

_IGNORE = 255


def class_problems(cfg: Mapping, stages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (dotted place, problem) where labels hold more classes than the change head has.

    Args:
        cfg: The merged config.
        stages: Whose datasets are looked at: of ``'train'``, ``'val'``, ``'test'``.
    """
    head = (cfg.get('model') or {}).get('change_head')
    if not isinstance(head, Mapping):
        return
    count = head.get('num_classes', _default(head.get('type'), 'num_classes'))
    if not isinstance(count, int):
        return
    losses = head.get('loss_decode') or ()
    for loss in [losses] if isinstance(losses, Mapping) else losses:
        weights = loss.get('class_weight')
        if isinstance(weights, list | tuple) and len(weights) != count:
            yield ('model.change_head.loss_decode.class_weight',
                   f'{len(weights)} weights, and change_head.num_classes is {count}: give one '
                   'weight a class')
    datasets: dict[tuple[int, str], list[str]] = {}
    for stage in stages:
        dataset = (cfg.get(f'{stage}_dataloader') or {}).get('dataset')
        for place, leaf in _leaves(dataset, f'{stage}_dataloader.dataset'):
            datasets.setdefault(_classes_of(leaf), []).append(place)
    for (labels, names), places in datasets.items():
        if labels > count:
            yield ('model.change_head.num_classes',
                   f'{count}, and the labels of {", ".join(places)} hold {labels} classes, 0 to '
                   f'{labels - 1}{names}. Set model.change_head.num_classes={labels}, or map the '
                   'values of the files to fewer: label_map={value: class, ...} in the dataset '
                   '(255 = ignore)')


def _default(kind: Any, name: str) -> Any:
    """Return the default of a constructor's argument, None where it has none."""
    target = Schema('MODELS').find(kind) if kind else None
    found = inspect.signature(target).parameters.get(name) if target else None
    return None if found is None or found.default is found.empty else found.default


def _leaves(dataset: Any, place: str) -> Iterator[tuple[str, Mapping]]:
    """Yield the datasets inside wrappers that repeat or join them."""
    if not isinstance(dataset, Mapping):
        return
    if isinstance(dataset.get('dataset'), Mapping):
        yield from _leaves(dataset['dataset'], f'{place}.dataset')
    elif isinstance(dataset.get('datasets'), list | tuple):
        for number, inner in enumerate(dataset['datasets']):
            yield from _leaves(inner, f'{place}.datasets.{number}')
    else:
        yield place, dataset


def _classes_of(dataset: Mapping) -> tuple[int, str]:
    """Return how many classes the labels of a dataset have, and their names for a message."""
    steps = [step for step in dataset.get('pipeline') or () if isinstance(step, Mapping)]
    loader = next((step for step in steps if step.get('type') == 'LoadChangeMask'), None)
    kind = Schema('DATASETS').find(dataset['type']) if dataset.get('type') else None
    if loader is None or kind is None:
        return 0, ''
    own = loader.get('label_map')
    if own is None and loader.get('palette') is not None:
        return len(loader['palette']), ''
    label_map = own or dataset.get('label_map') or getattr(kind, 'LABEL_MAP', None)
    if dataset.get('label_threshold') is not None or not isinstance(label_map, Mapping):
        return 2, ''
    names = dataset.get('classes') or getattr(kind, 'METAINFO', {}).get('classes')
    labels = 1 + max((index for index in label_map.values() if index != _IGNORE), default=0)
    return labels, f' ({", ".join(names)})' if names and len(names) == labels else ''
