"""Loading of what each date shows: class maps, and the change map that follows from them."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mmcv.transforms import BaseTransform

from rscc.datasets.transforms.loading import check_label, nodata_of
from rscc.rasters.labels import IGNORE, read_class_map
from rscc.registry import TRANSFORMS
from rscc.structures import CLASS_MAPS, LABEL_MAPS

#: Ways in which class maps and change map contradict each other, for messages.
DISAGREEMENT = ('changed, but without a class at some date, or unchanged, but with another class '
                'at each date or with a class where classes are drawn for changes alone')


@dataclass(frozen=True)
class SemanticLabels:
    """Description of the class maps of a dataset: classes, colours, and what they tell of change.

    Attributes:
        names: ``'none'`` and the names of the K classes; a map's value is the place in here.
        palette: Colour of each, [red, green, blue].
        values: File value -> class, for grey and palette files: one for both dates or one for each;
            None where the file holds the classes as they are.
        coloured: Whether files may be stored in the colours of the palette.
        only_changes: Whether classes are drawn only where something changed, so that a change map
            can be derived: changed is what has a label at the earlier date (``label1 > 0``, as
            SECOND's users do it). A place may change within one class, so the maps of the two
            dates are never compared for that.
    """

    names: Sequence[str]
    palette: Sequence[Sequence[int]]
    values: Mapping[int, int] | Sequence[Mapping[int, int]] | None = None
    coloured: bool = False
    only_changes: bool = False

    def values_of(self, date: int) -> Mapping[int, int]:
        """Return file value -> class of the earlier (0) or the later date (1)."""
        if self.values is None:
            return {value: value for value in range(len(self.names))}
        return self.values if isinstance(self.values, Mapping) else self.values[date]

    def read(self, path: str, date: int) -> np.ndarray:
        """Return the class map of the earlier (0) or the later date (1), uint8 (H, W).

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no image, or holds a colour or value that is not in the table.
        """
        return read_class_map(path, self.names, self.values_of(date),
                              self.palette if self.coloured else None)

    def disagreement(self, change: np.ndarray, earlier: np.ndarray, later: np.ndarray) -> int:
        """Return at how many pixels the class maps contradict the change map.

        A changed pixel without a class at some date does. So does an unchanged one with another
        class at the later date or, where classes are drawn only where something changed, with any.

        Args:
            change: 0 unchanged, 255 not known, changed otherwise, (H, W).
            earlier, later: Class maps of the two dates, 0 = no label, both (H, W).
        """
        wrong = (change > 0) & (change < IGNORE) & ((earlier == 0) | (later == 0))
        if self.only_changes:
            wrong |= (change == 0) & ((earlier > 0) | (later > 0))
        else:
            wrong |= (change == 0) & (earlier > 0) & (later > 0) & (earlier != later)
        return int(wrong.sum())


def semantic_metainfo(labels: SemanticLabels) -> dict:
    """Return what a dataset's metainfo tells of its class maps."""
    return {'semantic_classes': tuple(labels.names),
            'semantic_palette': [list(colour) for colour in labels.palette]}


@TRANSFORMS.register_module()
class LoadSemanticMaps(BaseTransform):
    """Load the class map of each date and, where no file gives it, derive the change map.

    Reads ``semantic_paths``, the maps of the earlier and the later date (nothing happens without
    them), as ``semantic_labels`` describes them; the dataset sets both. Sets ``gt_sem_seg_from``
    and ``gt_sem_seg_to``, uint8 (H, W) at the size on disk: 0 no label, 1 to K the classes. Stands
    behind ``LoadChangeMask``, and where that found no file sets ``gt_sem_seg`` by the dataset's
    published rule. Pixels whose change is not known (255: no data at some date) have no label.
    """

    def maps(self, item: Mapping) -> tuple[str, ...]:
        """Return the label maps that it sets for an item."""
        return tuple(LABEL_MAPS) if item.get('semantic_paths') else ()

    def transform(self, results: dict) -> dict:
        """Add the class maps and perhaps ``gt_sem_seg``.

        Raises:
            FileNotFoundError: If a map is missing.
            ValueError: If a map holds an unexpected colour or value, is of another size than the
                frames, or the change map is needed and cannot be derived.
        """
        if CLASS_MAPS[0] not in results:
            if not results.get('semantic_paths'):
                return results
            self._load(results)
        if results.get('unlabelled'):
            results.update({name: np.full_like(results[name], unknown)
                            for name, unknown in LABEL_MAPS.items()})
        return results

    def _load(self, results: dict) -> None:
        labels: SemanticLabels = results['semantic_labels']
        maps = [self._read(path, labels, date, results)
                for date, path in enumerate(results['semantic_paths'])]
        if 'gt_sem_seg' not in results:
            results['gt_sem_seg'] = self._derived(maps[0], labels, results)
        unknown = results['gt_sem_seg'] == IGNORE
        for name, classes in zip(CLASS_MAPS, maps, strict=True):
            results[name] = np.where(unknown, np.uint8(LABEL_MAPS[name]), classes)

    def _read(self, path: str, labels: SemanticLabels, date: int, results: dict) -> np.ndarray:
        try:
            classes = labels.read(path, date)
        except (ValueError, FileNotFoundError) as error:
            kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
            raise kind(f"sample '{results.get('sample_id')}': {error}") from error
        check_label(classes, path, results)
        return classes

    def _derived(self, earlier: np.ndarray, labels: SemanticLabels, results: dict) -> np.ndarray:
        if not labels.only_changes:
            raise ValueError(
                f"sample '{results.get('sample_id')}' has no change map, and its class maps cover "
                'what did not change too, so that none can be derived: give the dataset the files '
                'of the change layer (label=...), and put LoadChangeMask before LoadSemanticMaps.')
        empty = nodata_of(results)
        change = (earlier > 0).astype(np.uint8)
        if empty is not None and empty.shape == change.shape:
            change[empty] = IGNORE
        return change

    def __repr__(self) -> str:
        return 'LoadSemanticMaps()'
