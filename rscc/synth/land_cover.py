"""Land cover of both dates of a rendered scene: a class at every pixel."""
from collections.abc import Iterable

import numpy as np

from rscc.synth.drawing import CANVAS, crop
from rscc.synth.mask import ORDER, cover
from rscc.synth.objects import BOTH, CLASSES, FROM, PALETTE, TO, Drive, Surface, Thing, Trees
from rscc.synth.scene import Scene

#: Classes at a date. The first five are those of the changes, under the same numbers; the others
#: are what lies on the ground between the objects. ``'none'`` occurs nowhere.
COVER = ('none', *('tree' if name == 'vegetation' else name for name in CLASSES[1:]),
         'grassland', 'bare land', 'desert', 'farmland', 'pavement')
COVER_PALETTE = (*map(tuple, PALETTE), (170, 210, 110), (190, 160, 120), (235, 215, 160),
                 (215, 190, 60), (150, 150, 155))
#: Biome of a scene -> class of its open ground.
GROUND = {'meadow': 'grassland', 'woods': 'grassland', 'bareland': 'bare land',
          'desert': 'desert', 'farmland': 'farmland'}
#: Kind of a patch of ground -> class; what is missing is too thin to be one.
SURFACES = {'lawn': 'grassland', 'wild': 'grassland', 'pitch': 'grassland', 'field': 'farmland',
            'soil': 'bare land', 'site': 'bare land', 'rubble': 'bare land', 'gravel': 'bare land',
            'rails': 'bare land', 'pool': 'water',
            **dict.fromkeys(('path', 'paving', 'concrete', 'asphalt', 'court', 'track'),
                            'pavement')}


def draw_land_cover(scene: Scene, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of both dates, places in :data:`COVER`.

    What is no change has one class at both dates, that of the later one: what became of a patch of
    ground, and how far a roof leans, tells of no change here.

    Args:
        scene: The place.
        mask: What changed, of ``draw_mask``, uint8 (256, 256), 0 where nothing did.

    Returns:
        The earlier and the later date, uint8 (256, 256) each.
    """
    # The crowns that both dates share are looked for once: they take most of the time.
    fixed = [thing for thing in scene.things if isinstance(thing, Trees) and thing.when == BOTH]
    crowns = np.zeros((CANVAS, CANVAS), np.uint8)
    for trees in fixed:
        cover(crowns, trees, COVER.index('tree'), scene)
    crowns = crop(crowns)
    earlier, later = (np.where(crowns > 0, crowns, _below_crowns(scene, date))
                      for date in (FROM, TO))
    return np.where(mask == 0, later, earlier), later


def _below_crowns(scene: Scene, date: str) -> np.ndarray:
    """Return the classes of a date but for the trees of both dates, uint8 (256, 256)."""
    canvas = np.full((CANVAS, CANVAS), COVER.index(GROUND[scene.biome]), np.uint8)
    for thing in _from_below(thing for thing in scene.things if thing.exists(date)):
        cover(canvas, thing, _class_of(thing), scene)
    return crop(canvas)


def _from_below(things: Iterable[Thing]) -> list[Thing]:
    """Return what is drawn, the lowest first; of what changed the order is that of the mask."""
    def height(thing: Thing) -> tuple[bool, int]:
        changes = thing.when != BOTH and thing.label > 0
        usual = {'water': 1, 'pavement': 2, 'road': 3, 'parking lot': 4, 'building': 5}
        return changes, ORDER[thing.label] if changes else usual[COVER[_class_of(thing)]]

    things = [thing for thing in things if _class_of(thing)]
    ground = [thing for thing in things if isinstance(thing, Surface)]
    others = [thing for thing in things if not isinstance(thing, Surface)
              and not (isinstance(thing, Trees) and thing.when == BOTH)]
    return ground + sorted(others, key=height)


def _class_of(thing: Thing) -> int:
    """Return the place of a thing's class in :data:`COVER`, 0 where it has none."""
    if isinstance(thing, Surface):
        return COVER.index(SURFACES.get(thing.kind, 'none'))
    return COVER.index('pavement') if isinstance(thing, Drive) else thing.label
