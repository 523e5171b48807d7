"""Near-infrared and other bands of a rendered date, stored as Sentinel-2 stores its own.

What every pixel is made of is drawn once more, as numbers of materials. A band is the brightness of
the drawn picture times how much brighter its material is in that band than in visible light. So a
band shows what colours do not: water is black in it and shadows are not, plants are bright however
dark their green is, and haze fades with the wavelength. The spectra below are round numbers of the
usual shape, chosen to go with the drawn colours; nothing here is a measurement, and half a metre a
pixel is no satellite's.
"""
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from rscc.synth.drawing import (
    CANVAS,
    FRACTION_BITS,
    Appearance,
    crown_heights,
    fill,
    to_canvas,
)
from rscc.synth.objects import (
    SIDE,
    Building,
    Drive,
    House,
    Lot,
    Pond,
    Road,
    Trees,
    oriented_box,
)
from rscc.synth.rendering import (
    EVERGREEN,
    LEAVES,
    draw,
    noise_tiles,
    patch,
    photograph,
    plant_share,
    through_optics,
)
from rscc.synth.scene import Scene
from rscc.utils import require

#: Centre of every band in nanometres; those of 20 m are half as fine as the others.
WAVELENGTHS = {'B2': 490, 'B3': 560, 'B4': 665, 'B5': 705, 'B6': 740, 'B7': 783, 'B8': 842,
               'B8A': 865, 'B11': 1610, 'B12': 2190}
COARSE = ('B5', 'B6', 'B7', 'B8A', 'B11', 'B12')
#: Number of bands -> which, in the order of the file; (3, 2, 1) are red, green and blue.
BAND_SETS = {4: ('B2', 'B3', 'B4', 'B8'), 10: tuple(WAVELENGTHS)}
#: Stored value of white: Sentinel-2 stores reflectance times 10000, and land is rarely above 0.3 in
#: visible light.
WHITE = 3000
_ANCHORS = (490, 560, 665, 705, 780, 865, 1610, 2190)
#: Reflectance at these wavelengths.
SPECTRA = {
    'grass': (0.08, 0.13, 0.11, 0.18, 0.40, 0.43, 0.28, 0.19),
    'leaves': (0.05, 0.09, 0.065, 0.13, 0.35, 0.38, 0.20, 0.10),
    'soil': (0.14, 0.175, 0.20, 0.215, 0.24, 0.26, 0.36, 0.33),
    'water': (0.085, 0.078, 0.055, 0.035, 0.015, 0.01, 0.004, 0.003),
    'asphalt': (0.13, 0.13, 0.13, 0.133, 0.138, 0.14, 0.16, 0.16),
    'concrete': (0.19, 0.20, 0.20, 0.205, 0.21, 0.215, 0.23, 0.21),
    'tile': (0.08, 0.10, 0.18, 0.19, 0.21, 0.23, 0.32, 0.30),
    'metal': (0.20, 0.20, 0.20, 0.20, 0.20, 0.20, 0.19, 0.17)}
MATERIALS = tuple(SPECTRA)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LEAST_LEAVES = 0.35  # share of a crown that is bright in the infrared without green leaves
_REDDISH = 1.25  # red over blue from which on a roof is of tiles
_AIR = 200  # grey of lit air, see ``photograph``
_CLEARING = 1.3  # exponent by which haze fades with the wavelength (Angstrom's)


def brightness(material: str, band: str) -> float:
    """Return how much brighter a material is in a band than in visible light."""
    spectrum = SPECTRA[material]
    red, green, blue = (np.interp(nm, _ANCHORS, spectrum) for nm in (665, 560, 490))
    visible = float(_LUMA @ [red, green, blue])
    return float(np.interp(WAVELENGTHS[band], _ANCHORS, spectrum)) / visible


def render_bands(scene: Scene, date: str, appearance: Appearance, count: int) -> np.ndarray:
    """Draw a scene as it is at ``date``, in bands of Sentinel-2.

    Args:
        scene: The place.
        date: 'from' or 'to'.
        appearance: Season, sun and sensor.
        count: 4 or 10, see :data:`BAND_SETS`.

    Returns:
        uint16 (256, 256, count): reflectance times 10000. Red, green and blue are those of
        :func:`rscc.synth.rendering.render`, times 3000 / 255.
    """
    canvas, plants, rng = draw(scene, date, appearance)
    picture = photograph(canvas, scene, appearance, rng)
    known = dict(zip(('B4', 'B3', 'B2'), picture.transpose(2, 0, 1), strict=True))
    materials, plants = draw_materials(scene, date, appearance, plants)
    visible = canvas.astype(np.float32) @ _LUMA
    own = np.random.default_rng([appearance.seed, 10])  # the picture's draws stay as they are
    drawn = {name: _expose(visible * _ratio(materials, plants, name), name, scene, appearance, own)
             for name in BAND_SETS[10] if name not in known}
    stored = [(known | drawn)[name] * (WHITE / 255) for name in BAND_SETS[count]]
    return np.clip(np.rint(np.stack(stored, 2)), 0, 65535).astype(np.uint16)


def draw_materials(scene: Scene, date: str, appearance: Appearance, ground: np.ndarray
                   ) -> tuple[np.ndarray, np.ndarray]:
    """Draw what every pixel is made of.

    Args:
        scene, date, appearance: See :func:`render_bands`.
        ground: Share of the bare ground that plants cover, float32 (EXTENT, EXTENT) 0-1.

    Returns:
        Places in :data:`MATERIALS`, uint8 (CANVAS, CANVAS): of what plants may cover grass or
        leaves; and the share that they cover there, float32 of the same shape.
    """
    things = [thing for thing in scene.things if thing.exists(date)]
    canvas = np.full((CANVAS, CANVAS), MATERIALS.index('grass'), np.uint8)
    plants = cv2.resize(ground, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)

    def put(outlines: list[np.ndarray], material: str) -> None:
        fill(canvas, outlines, MATERIALS.index(material), antialias=False)

    for pond in (thing for thing in things if isinstance(thing, Pond)):
        cv2.polylines(canvas, [to_canvas(pond.outline)], True, MATERIALS.index('soil'), 7,
                      cv2.LINE_8, FRACTION_BITS)
        put([pond.outline], 'water')
    for drive in (thing for thing in things if isinstance(thing, Drive)):
        put(drive.footprint(), 'concrete')
    _put_roads(canvas, [thing for thing in things if isinstance(thing, Road)])
    for lot in (thing for thing in things if isinstance(thing, Lot)):
        put([oriented_box(lot.centre, (lot.size[0] + 3, lot.size[1] + 3), lot.angle)], 'asphalt')
    for roof in (thing for thing in things if isinstance(thing, House | Building)):
        tiled = roof.colour[0] > _REDDISH * roof.colour[2]
        put(roof.footprint(), 'tile' if tiled else 'metal')
    for group in (thing for thing in things if isinstance(thing, Trees)):
        inside = crown_heights(group.crowns) > 0
        canvas[inside] = MATERIALS.index('leaves')
        colour = EVERGREEN if group.evergreen else LEAVES[appearance.season]
        plants[inside] = max(plant_share(colour), _LEAST_LEAVES)
    return canvas, plants


def _put_roads(canvas: np.ndarray, roads: Sequence[Road]) -> None:
    """Draw roads with their kerbs, then their surfaces, as in the picture."""
    for road in sorted(roads, key=lambda road: road.surface != 'dirt'):
        outer = Road(road.points, road.width + (0 if road.surface == 'dirt' else 3), road.surface)
        material = {'dirt': 'soil'}.get(road.surface, 'concrete')
        fill(canvas, outer.footprint(), MATERIALS.index(material), antialias=False)
    for road in (road for road in roads if road.surface == 'asphalt'):
        fill(canvas, road.footprint(), MATERIALS.index('asphalt'), antialias=False)


def _ratio(materials: np.ndarray, plants: np.ndarray, band: str) -> np.ndarray:
    """Return how much brighter every pixel is in a band than in visible light, float32."""
    table = np.array([brightness(material, band) for material in MATERIALS], np.float32)
    ratio, soil = table[materials], table[MATERIALS.index('soil')]
    planted = materials <= MATERIALS.index('leaves')  # grass or leaves, and soil between them
    return np.where(planted, soil + (ratio - soil) * plants, ratio)


def _expose(value: np.ndarray, band: str, scene: Scene, appearance: Appearance,
            rng: np.random.Generator) -> np.ndarray:
    """Return a band as the sensor sees it, float32 (256, 256); 255 is white, plants are above."""
    image = through_optics(value, scene, appearance)
    gain = float(appearance.gain.mean()) * rng.uniform(0.965, 1.035)
    haze = appearance.haze * (WAVELENGTHS['B3'] / WAVELENGTHS[band]) ** _CLEARING
    image = (np.maximum(image, 0) * np.float32(gain / 255)) ** np.float32(appearance.gamma)
    image = image * np.float32(255 * (1 - haze)) + np.float32(_AIR * haze)
    image += np.float32(appearance.noise) * patch(noise_tiles()['white'], rng, SIDE)[..., 0]
    if band in COARSE:
        half = cv2.resize(image, (SIDE // 2, ) * 2, interpolation=cv2.INTER_AREA)
        image = cv2.resize(half, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return np.maximum(image, 0)


def write_bands(pixels: np.ndarray, path: Path) -> None:
    """Write bands of :func:`render_bands` as a TIFF without a place on the map.

    Raises:
        OSError: If it cannot be written.
    """
    rasterio = require('rasterio', 'writing images of more than three bands')
    height, width, count = pixels.shape
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED='NO'):
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        try:
            with rasterio.open(path, 'w', driver='GTiff', height=height, width=width, count=count,
                               dtype='uint16', compress='deflate', predictor=2,
                               interleave='pixel', photometric='minisblack') as file:
                file.write(pixels.transpose(2, 0, 1))
                file.descriptions = BAND_SETS[count]
        except rasterio.errors.RasterioIOError as error:
            raise OSError(f"could not write '{path}'; is the disk full? ({error})") from error


def read_picture(path: Path) -> np.ndarray:
    """Return red, green and blue of a file of :func:`write_bands`, uint8 (256, 256, 3)."""
    rasterio = require('rasterio', f"reading '{path}'")
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED='NO'):
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, driver='GTiff') as file:
            stored = file.read([3, 2, 1]).transpose(1, 2, 0)
    return np.clip(np.rint(stored * (255 / WHITE)), 0, 255).astype(np.uint8)
