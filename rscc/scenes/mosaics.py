"""Mosaics: a folder or list of raster tiles as one virtual raster."""
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rscc.rasters.headers import unreadable
from rscc.rasters.rows import gdal
from rscc.utils import require

#: Endings of the files in a folder that are tiles of a mosaic.
ENDINGS = ('.tif', '.tiff', '.vrt', '.jp2', '.img')
#: GDAL's names of the types of values.
_TYPES = {'uint8': 'Byte', 'int8': 'Int8', 'uint16': 'UInt16', 'int16': 'Int16',
          'uint32': 'UInt32', 'int32': 'Int32', 'float32': 'Float32', 'float64': 'Float64'}
_CLOSE = 0.01  # pixels: rounding of origins, no shift
#: First bytes of the formats read in rectangles, and GDAL's driver of each: a file is never
#: handed to another one, whatever its name.
_MAGIC = {b'II*\0': 'GTiff', b'MM\0*': 'GTiff', b'II+\0': 'GTiff', b'MM\0+': 'GTiff',
          b'<VRTDataset': 'VRT', b'\0\0\0\x0cjP': 'JP2OpenJPEG', b'EHFA_HEADER_TAG': 'HFA'}
_DRIVERS = {'.vrt': 'VRT', '.jp2': 'JP2OpenJPEG', '.img': 'HFA'}  # of remote files


@dataclass(frozen=True)
class _Tile:
    """What a mosaic needs to know of a file."""
    path: str
    width: int
    height: int
    transform: tuple[float, ...]
    crs: Any
    dtypes: tuple[str, ...]
    nodata: float | None
    kinds: tuple[str, ...]
    colours: tuple[tuple[int, tuple[int, ...]], ...]
    masked: bool


def driver_of(source: str) -> str:
    """Return GDAL's driver of a raster, by its first bytes where it is a file of this machine.

    Args:
        source: What GDAL opens: a path, an address, or the text of a virtual raster.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another format.
    """
    if source.startswith('<VRTDataset'):
        return 'VRT'
    if '://' in source or source.startswith('/vsi'):
        return _DRIVERS.get(Path(source).suffix.lower(), 'GTiff')
    if not Path(source).is_file():
        raise FileNotFoundError(f"no image at '{source}'")
    with open(source, 'rb') as file:
        start = file.read(64).lstrip()
    for magic, driver in _MAGIC.items():
        if start.startswith(magic):
            return driver
    if _described(Path(source)):
        return 'ENVI'
    raise unreadable(source, f'it begins with {start[:8]!r} and is no GeoTIFF, VRT, JPEG 2000, '
                     'Erdas Imagine or ENVI file')


def _described(path: Path) -> bool:
    """Tell whether an ENVI header lies beside a file of bare values."""
    for beside in (path.with_suffix('.hdr'), path.with_suffix('.HDR'),
                   Path(f'{path}.hdr'), Path(f'{path}.HDR')):
        if beside.is_file() and beside != path:
            with open(beside, 'rb') as file:
                return file.read(4) == b'ENVI'
    return False


def mosaic(given: str | Path | Sequence[str | Path]) -> tuple[str, str]:
    """Describe tiles of one date as one raster; where tiles overlap, the later name is on top.

    Args:
        given: A folder, whose rasters are taken in the order of their names, or their paths.

    Returns:
        A name for messages, and the text of GDAL's virtual raster (XML), which rasterio opens as it
        opens a path.

    Raises:
        FileNotFoundError: If the folder holds no raster.
        ValueError: If the tiles differ in coordinate system, pixel size, alignment, bands or type;
            the message names the tile.
    """
    if isinstance(given, str | Path):
        paths = [str(path) for path in tiles_in(given)]
        name = str(given)
        if not paths:
            raise FileNotFoundError(f"no raster in the folder '{given}': files ending in "
                                    f'{", ".join(ENDINGS)} were expected')
    else:
        paths = [str(path) for path in given]
        name = f'{Path(paths[0]).name} and {len(paths) - 1} more' if paths else 'an empty list'
        if not paths:
            raise ValueError('an empty list of tiles was given as one date of a scene')
    tiles = [_look(path) for path in paths]
    for tile in tiles[1:]:
        _check(tiles[0], tile)
    return name, _virtual_raster(tiles)


def tiles_in(folder: str | Path) -> list[Path]:
    """Return the rasters of a folder, which are the tiles of one date, by name."""
    return sorted(path for path in Path(folder).iterdir()
                  if path.suffix.lower() in ENDINGS and path.name[0] != '.')


def _look(path: str) -> _Tile:
    rasterio = require('rasterio', f"reading '{path}'")
    with gdal(rasterio), rasterio.Env(GDAL_PAM_ENABLED='YES'):
        try:
            file = rasterio.open(path, driver=driver_of(path))
        except rasterio.errors.RasterioIOError as error:
            raise ValueError(f"tile '{path}' cannot be read: {error}") from error
        with file:
            if file.crs is None and file.transform == rasterio.Affine.identity():
                raise ValueError(f"tile '{path}' has no place on the map, so nothing tells where "
                                 'it belongs in the mosaic. Folders of pairs of pictures are '
                                 'answered one by one with --pairs')
            kinds = tuple(kind.name for kind in file.colorinterp)
            colours = sorted(file.colormap(1).items()) if kinds[0] == 'palette' else ()
            flags = file.mask_flag_enums[0]
            masked = rasterio.enums.MaskFlags.per_dataset in flags and 'alpha' not in kinds
            return _Tile(path, file.width, file.height, tuple(file.transform)[:6], file.crs,
                         file.dtypes, file.nodata, kinds, tuple(colours), masked)


def _check(first: _Tile, tile: _Tile) -> None:
    """Refuse a tile that does not continue the first one's grid."""
    step = first.transform
    facts = {'coordinate system': (first.crs, tile.crs), 'bands': (first.dtypes, tile.dtypes),
             'value without data': (first.nodata, tile.nodata)}
    for what, (one, other) in facts.items():
        if one != other and not (what == 'value without data' and _both_nan(one, other)):
            raise ValueError(f"tiles of one mosaic differ in their {what}: '{first.path}' has "
                             f"{one}, '{tile.path}' has {other}. Bring them together first: "
                             'gdalwarp -t_srs EPSG:... tiles*.tif mosaic.vrt -of VRT')
    if first.colours != tile.colours:
        raise ValueError(f"tiles of one mosaic differ in their palette: '{first.path}' and "
                         f"'{tile.path}'. Turn them into RGB first: gdal_translate -expand rgb")
    if not all(math.isclose(step[i], tile.transform[i], rel_tol=1e-6, abs_tol=1e-12)
               for i in (0, 1, 3, 4)):
        raise ValueError(f"tiles of one mosaic differ in their pixel size: '{first.path}' has "
                         f"{step[0]:g} x {step[4]:g}, '{tile.path}' has {tile.transform[0]:g} x "
                         f'{tile.transform[4]:g}')
    if step[1] or step[3]:
        raise ValueError(f"'{first.path}' is turned against its coordinate system; tiles of a "
                         'mosaic have to lie along it')
    for place, size in zip(_place(first, tile), ('columns', 'rows'), strict=True):
        if abs(place - round(place)) > _CLOSE:
            raise ValueError(f"'{tile.path}' lies between the pixels of '{first.path}' "
                             f'({place - round(place):+.2f} {size}): tiles of a mosaic share one '
                             'grid. Warp them to it first (gdalwarp -tap -tr ...)')


def _both_nan(one: float | None, other: float | None) -> bool:
    return all(value is not None and math.isnan(value) for value in (one, other))


def _place(first: _Tile, tile: _Tile) -> tuple[float, float]:
    """Return column and row of a tile's corner, in pixels of the first tile."""
    return ((tile.transform[2] - first.transform[2]) / first.transform[0],
            (tile.transform[5] - first.transform[5]) / first.transform[4])


def check_virtual(path: str, above: Sequence[str] = ()) -> None:
    """Refuse a virtual raster whose files are missing: GDAL would read them as black.

    Args:
        path: Any raster; only virtual ones of this machine are looked into.
        above: The virtual rasters that read it.

    Raises:
        FileNotFoundError: If a file that it reads is not there.
        ValueError: If it is no XML, or reads itself.
    """
    if path in above:
        raise ValueError(f"the virtual raster '{path}' reads itself; make it anew")
    if '://' in path or path.startswith('/vsi') or not Path(path).is_file() or (
            driver_of(path) != 'VRT'):
        return
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise unreadable(path, error) from error
    for node in [*root.iter('SourceFilename'), *root.iter('SourceDataset')]:
        name = (node.text or '').strip()
        if not name or '://' in name or name.startswith(('/vsi', '<')):
            continue
        relative = node.get('relativeToVRT', node.get('relativetoVRT', '0')) == '1'
        found = Path(path).parent / name if relative else Path(name)
        if not found.exists():
            raise FileNotFoundError(f"the virtual raster '{path}' reads '{name}', which is not "
                                    'there. Bring it back, or make the virtual raster anew')
        check_virtual(str(found), (*above, path))


def _virtual_raster(tiles: Sequence[_Tile]) -> str:
    """Return the XML of a virtual raster over tiles of one grid."""
    places = [tuple(map(round, _place(tiles[0], tile))) for tile in tiles]
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    right = max(place[0] + tile.width for place, tile in zip(places, tiles, strict=True))
    bottom = max(place[1] + tile.height for place, tile in zip(places, tiles, strict=True))
    root = ElementTree.Element('VRTDataset', rasterXSize=str(right - left),
                               rasterYSize=str(bottom - top))
    a, b, c, d, e, f = tiles[0].transform
    if tiles[0].crs is not None:
        ElementTree.SubElement(root, 'SRS').text = tiles[0].crs.to_wkt()
    ElementTree.SubElement(root, 'GeoTransform').text = ', '.join(
        repr(float(value)) for value in (c + left * a, a, b, f + top * e, d, e))
    for band, (dtype, kind) in enumerate(zip(tiles[0].dtypes, tiles[0].kinds, strict=True), 1):
        node = ElementTree.SubElement(root, 'VRTRasterBand', dataType=_TYPES[dtype],
                                      band=str(band), blockXSize='512', blockYSize='512')
        if tiles[0].nodata is not None:
            ElementTree.SubElement(node, 'NoDataValue').text = repr(float(tiles[0].nodata))
        ElementTree.SubElement(node, 'ColorInterp').text = kind.capitalize()
        if band == 1 and tiles[0].colours:
            table = ElementTree.SubElement(node, 'ColorTable')
            for _, colour in tiles[0].colours:  # GDAL names every number from 0 on
                ElementTree.SubElement(table, 'Entry', {
                    f'c{place}': str(value) for place, value in enumerate(colour, 1)})
        for tile, place in zip(tiles, places, strict=True):
            _source(node, tile, band, place[0] - left, place[1] - top)
    if tiles[0].nodata is None and 'alpha' not in tiles[0].kinds:
        _mask_of(root, tiles, [(column - left, row - top) for column, row in places])
    return ElementTree.tostring(root, encoding='unicode')


def _source(parent: ElementTree.Element, tile: _Tile, band: int | str, column: int, row: int
            ) -> None:
    # Where it is known what holds no data, it does not cover the tile below.
    masked = tile.nodata is None and (tile.masked or 'alpha' in tile.kinds)
    kind = 'SimpleSource' if tile.nodata is None and not masked else 'ComplexSource'
    source = ElementTree.SubElement(parent, kind)
    path = tile.path if '://' in tile.path or tile.path.startswith('/vsi') else str(
        Path(tile.path).absolute())
    ElementTree.SubElement(source, 'SourceFilename', relativeToVRT='0').text = path
    ElementTree.SubElement(source, 'SourceBand').text = str(band)
    size = dict(xSize=str(tile.width), ySize=str(tile.height))
    ElementTree.SubElement(source, 'SrcRect', xOff='0', yOff='0', **size)
    ElementTree.SubElement(source, 'DstRect', xOff=str(column), yOff=str(row), **size)
    if tile.nodata is not None:
        ElementTree.SubElement(source, 'NODATA').text = repr(float(tile.nodata))
    elif masked and band == 'mask,1':
        ElementTree.SubElement(source, 'NODATA').text = '0'
    elif masked:
        ElementTree.SubElement(source, 'UseMaskBand').text = 'true'


def _mask_of(root: ElementTree.Element, tiles: Sequence[_Tile],
             places: Sequence[tuple[int, int]]) -> None:
    """Add the mask of a mosaic: between its tiles there is no data."""
    mask = ElementTree.SubElement(root, 'MaskBand')
    node = ElementTree.SubElement(mask, 'VRTRasterBand', dataType='Byte', blockXSize='512',
                                  blockYSize='512')
    for tile, place in zip(tiles, places, strict=True):
        _source(node, tile, 'mask,1', *place)
