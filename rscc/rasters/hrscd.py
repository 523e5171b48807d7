"""Files of HRSCD's five published parts, matched by the place that their names tell."""
from collections.abc import Mapping, Sequence
from pathlib import Path

from rscc.rasters.tiles import Scene, scene_of
from rscc.utils import counted
from rscc.utils.paths import divided

#: Kind of file -> folder, as the archives of the IEEE DataPort unpack.
PARTS = {'from': 'images_2006/2006', 'to': 'images_2012/2012', 'label': 'labels_change/change',
         'map_from': 'labels_land_cover_2006/2006', 'map_to': 'labels_land_cover_2012/2012'}
DEPARTMENTS = ('D14', 'D35')


def scenes_of_hrscd(root: str | Path, shares: Mapping[str, float]) -> list[Scene]:
    """Return all image pairs with their labels, whole images divided into splits by lot.

    Args:
        root: Folder of the five parts.
        shares: Split -> share of the images, the same images every time.

    Raises:
        FileNotFoundError: If a part is missing, or has no department.
        ValueError: If a place lacks a file in some part, or has two.
    """
    root = Path(root)
    missing = [folder for folder in PARTS.values() if not (root / folder).is_dir()]
    if missing:
        there = sorted(path.name for path in root.iterdir())[:8] if root.is_dir() else 'nothing'
        raise FileNotFoundError(
            f"'{root}' lacks {len(missing)} of HRSCD's five parts: {', '.join(missing)}; found "
            f'{there}. The images of 2006 may not be passed on: they are BD ORTHO of IGN, D14 of '
            '2005 and D35 of 2006 (docs/en/datasets.md#hrscd)')
    rows = [files for department in DEPARTMENTS
            if any((root / folder / department).is_dir() for folder in PARTS.values())
            for files in _of_department(root, department)]
    if not rows:
        raise FileNotFoundError(f"'{root}' has none of the folders {', '.join(DEPARTMENTS)} in "
                                f"'{PARTS['from']}'")
    return [scene_of(files, split) for split, chosen in divided(rows, shares).items()
            for files in chosen]


def _of_department(root: Path, department: str) -> list[dict[str, Path]]:
    """Match the files of one department."""
    found = {kind: _by_place(root / folder / department) for kind, folder in PARTS.items()}
    places = sorted(set.intersection(*map(set, found.values())))
    alone = sorted(str(path) for files in found.values() for place, path in files.items()
                   if place not in places)
    if alone:
        raise ValueError(f'{counted(len(alone), "file")} of HRSCD without a partner in another '
                         f'part; the first: {alone[:3]}. Complete or remove them')
    return [{kind: files[place] for kind, files in found.items()} for place in places]


def _by_place(folder: Path) -> dict[Sequence[str], Path]:
    """Return the images of a folder by department and coordinates.

    ``14-2005-0415-6890-LA93.tif`` and ``14-2012-0415-6890-LA93-0M50-E080.tif`` show one place.
    """
    found: dict[Sequence[str], Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() not in ('.tif', '.tiff'):
            continue
        words = path.stem.split('-')
        if len(words) < 4:
            raise ValueError(f"'{path}' is not named as HRSCD's files are, department-year-x-y-...")
        place = (words[0], words[2], words[3])
        if found.setdefault(place, path) != path:
            raise ValueError(f"'{found[place]}' and '{path}' show one place; remove one")
    return found
