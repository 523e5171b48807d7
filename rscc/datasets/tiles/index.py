"""``tiles.json``: what was cut how, so that maps of the tiles can be put together again."""
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rscc.utils import read_json, write_json
from rscc.utils.tiling import TileGrid

FILE = 'tiles.json'
KINDS = {'from': 'A', 'to': 'B', 'label': 'label'}
WHOLE = 'all'  # the split of data without splits; it gets no folder of its own
_FORMAT = 'rscc tiles 1'


@dataclass(frozen=True)
class Scene:
    """One image pair that is cut.

    Attributes:
        stem: Its part of the tiles' names, unique, safe as a file name.
        split: ``'train'``, ``'val'``, ``'test'``, or ``'all'``.
        height: Rows.
        width: Columns.
        files: Paths of ``from``, ``to`` and, where there is one, ``label``.
        window: (left, top, width, height) where the scene is a part of its files.
        crs: Coordinate reference system of the earlier date as WKT.
        transform: Its affine coefficients (a, b, c, d, e, f), of the window where there is one.
    """

    stem: str
    split: str
    height: int
    width: int
    files: dict[str, str]
    window: Sequence[int] | None = None
    crs: str | None = None
    transform: Sequence[float] | None = None

    @property
    def name(self) -> str:
        """Name of the earlier date's file without ending."""
        return Path(self.files['from']).stem if 'from' in self.files else self.stem


@dataclass(frozen=True)
class TileIndex:
    """All scenes of a folder of tiles, and the grid that they share.

    Attributes:
        size: Side of a tile in pixels.
        overlap: Pixels that neighbours share.
        scenes: The pairs.
        bands: Bands of a frame that became red, green and blue, counted from 1; None as they are.
        scale: Values of a frame that became 0 and 255; None for 8 bits.
    """

    size: int
    overlap: int
    scenes: tuple[Scene, ...]
    bands: Sequence[int] | None = None
    scale: Sequence[float] | None = None

    def grid(self, scene: Scene) -> TileGrid:
        """Return the tiles of one scene."""
        return TileGrid(scene.height, scene.width, self.size, self.overlap)

    def write(self, folder: str | Path) -> Path:
        """Write ``tiles.json``."""
        path = Path(folder) / FILE
        write_json(path, {'format': _FORMAT, 'size': self.size, 'overlap': self.overlap,
                          'bands': self.bands, 'scale': self.scale,
                          'images': [asdict(scene) for scene in self.scenes]})
        return path

    def describe_difference(self, other: 'TileIndex') -> str | None:
        """Say in what another index differs, None where it does not."""
        for name in ('size', 'overlap', 'bands', 'scale'):
            mine, yours = (_plain(getattr(index, name)) for index in (self, other))
            if mine != yours:
                return f'{name} {mine} there, {yours} here'
        if len(self.scenes) != len(other.scenes):
            return f'{len(self.scenes)} images there, {len(other.scenes)} here'
        for mine, yours in zip(self.scenes, other.scenes, strict=True):
            for name, value in asdict(mine).items():
                if value != getattr(yours, name):
                    return f"image '{mine.stem}': {name} {value} there, {getattr(yours, name)} here"
        return None


def _plain(value: int | Sequence[float] | None) -> int | list[float] | None:
    """Return a value as JSON gives it back."""
    return value if value is None or isinstance(value, int) else list(value)


def read_index(path: str | Path) -> TileIndex:
    """Read ``tiles.json``.

    Args:
        path: The file or its folder.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is no such file.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no '{path}'; tools/dataset_converters/tiles.py cut writes it "
                                'beside the tiles. For tiles cut by other programs give --size, '
                                '--overlap and --image-size instead')
    data = read_json(path)
    try:
        if data['format'] != _FORMAT:
            raise KeyError('format')
        scenes = tuple(Scene(**image) for image in data['images'])
        return TileIndex(data['size'], data['overlap'], scenes, data.get('bands'),
                         data.get('scale'))
    except (KeyError, TypeError) as error:
        raise ValueError(f"'{path}' is no index of tiles as tools/dataset_converters/tiles.py cut "
                         f'writes it ({error}). Cut the images again') from error
