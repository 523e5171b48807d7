"""Changes of the varied look, chosen among what a laid-out place holds.

A changed building comes from the same draw as its neighbours, and where it is missing lies what
also lies on the place's vacant plots. So neither date alone gives a change away. Building sites,
fields, cars and roofs look different between the dates of every pair, changed or not.
"""
from collections.abc import Callable

import cv2
import numpy as np

from rscc.synth.changes import BUILT, MIN_CLEARED, REMOVED, Change
from rscc.synth.drawing import MARGIN
from rscc.synth.objects import (
    BOTH,
    FROM,
    SIDE,
    TO,
    Block,
    Dwelling,
    Lot,
    Pond,
    Road,
    Thing,
    Trees,
    blob,
    oriented_box,
)
from rscc.synth.rendering import noise_tiles, patch
from rscc.synth.scene import Scene, within
from rscc.synth.town import Area, Plot, Town, lay_out_town

GROUND_BELOW = {'lawn': 'meadow', 'wild': 'meadow', 'field': 'farmland', 'meadow': 'meadow'}
MOST_CROWNS = 1500


def plan_varied(rng: np.random.Generator, changed: bool) -> tuple[Scene, list[Change]]:
    """Lay out a varied place and what happens to it, see ``changes.plan``."""
    town = Town(rng)
    lay_out_town(town)
    before = {id(thing) for thing in town.scene.things}
    recipes, weights = zip(*RECIPES, strict=True)
    changes = recipes[rng.choice(len(recipes), p=weights)](town)
    if not changed:
        _freeze(town, before, FROM if rng.random() < 0.5 else TO)
    _plant(town)
    return town.scene, changes if changed else []


def _freeze(town: Town, before: set[int], date: str) -> None:
    """Keep what recipes made or changed as one date has it, at both dates."""
    own = {id(extra) for plot in town.plots for extra in plot.extras}
    touched = [thing for thing in town.scene.things if id(thing) not in before
               or id(thing) in own or (thing.label and thing.when != BOTH)]
    gone = {id(thing) for thing in touched if not thing.exists(date)}
    for thing in touched:
        thing.when = BOTH
    town.scene.things = [thing for thing in town.scene.things if id(thing) not in gone]


def _below(town: Town, kind: str) -> str:
    """Return the biome by which captions call a kind of ground."""
    if town.scene.biome == 'desert':
        return 'desert'
    return GROUND_BELOW.get(kind, 'bareland')


def _area_of(town: Town, *kinds: str) -> Area | None:
    """Draw an area of some kinds, None where there is none."""
    areas = [area for area in town.areas if area.kind in kinds]
    return areas[town.rng.integers(len(areas))] if areas else None


def _switch(town: Town, things: list[Thing], action: str, relation: str = '',
            ground: str = '') -> Change:
    """Let things of the scene exist at the date that the action implies.

    Returns:
        The record; it counts only what reaches into the image.
    """
    for thing in things:
        thing.when = TO if action == BUILT else FROM
    frame = oriented_box(np.full(2, SIDE / 2), (SIDE, SIDE), 0.0).astype(np.float32)
    inside = [thing for thing in things if not isinstance(thing, Block) or any(
        cv2.intersectConvexConvex(part.astype(np.float32), frame)[0] > 1 for part in thing.parts)]
    return Change(things[0].name, action, inside or things, relation, ground or town.scene.biome)


def _trees_in(town: Town, outlines: list[np.ndarray], when: str, share: float = 0.9
              ) -> Trees | None:
    """Return a stand of trees that exists at one date, or None if few would be seen."""
    crowns = _crowns(town, outlines, share)
    seen = ((crowns[:, :2] > 0) & (crowns[:, :2] < SIDE)).all(1).sum()
    if seen < MIN_CLEARED:
        return None
    return Trees(crowns, bool(town.rng.random() < 0.5), when=when)


def _vacate(town: Town, plots: list[Plot], areas: list[Area], action: str
            ) -> tuple[str, list[Change]]:
    """Show plots without their buildings at the other date.

    Args:
        town: The place.
        plots: Those whose buildings come or go.
        areas: Those that change as a whole, and were or become open ground.
        action: 'built' or 'removed'.

    Returns:
        The biome of what is there instead, and the clearing of trees where trees are.
    """
    rng, absent = town.rng, FROM if action == BUILT else TO
    kind = town.vacant[rng.integers(2)]
    if action == REMOVED and rng.random() < 0.4:
        kind = 'rubble'
    if areas:
        kind = str(rng.choice([kind, 'field', 'lawn', 'site', 'soil', 'wild']))
    for plot in plots:
        together = rng.random() < 0.7
        for extra in plot.extras:
            if together:
                extra.when = plot.main.when
        if not areas and rng.random() < 0.75:
            town.surface(plot.outline, kind, absent)
    outlines = [town.box(area.low, area.high) for area in areas]
    for outline in outlines:
        town.surface(outline, kind, absent)
    outlines = outlines or [plot.outline for plot in plots]
    wooded = 1.0 if town.scene.biome == 'woods' else 0.16
    if action == BUILT and rng.random() < wooded:
        trees = _trees_in(town, outlines, FROM)
        if trees is not None:
            town.scene.things.append(trees)
            return 'woods', [Change('trees', REMOVED, [trees], '', 'woods')]
    return _below(town, kind), []


def houses(town: Town) -> list[Change]:
    """Houses appear or disappear: one among many, a few, part of a row, or whole areas."""
    rng = town.rng
    plots = [plot for plot in town.plots if plot.visible and isinstance(plot.main, Dwelling)]
    if not plots:
        return large_buildings(town)
    style = rng.choice(['few', 'row', 'near', 'area'], p=[.32, .22, .18, .28])
    chosen, relation, areas = _pick(town, plots, style)
    action = BUILT if rng.random() < 0.68 else REMOVED
    change = _switch(town, [plot.main for plot in chosen], action, relation)
    change.ground, cleared = _vacate(town, chosen, areas, action)
    return [change, *cleared]


def _pick(town: Town, plots: list[Plot], style: str
          ) -> tuple[list[Plot], str, list[Area]]:
    """Choose plots to change: 'few', 'row', 'near' each other, or of whole areas ('area').

    Returns:
        The plots, how they lie ('', 'along' or 'row'), and the areas that change as a whole.
    """
    rng = town.rng
    first = plots[rng.integers(len(plots))]
    same = [plot for plot in plots if plot.area == first.area]
    if style == 'area' and len(same) >= 3:
        indices = {plot.area for plot in plots if plot.area == first.area or rng.random() < 0.02}
        everything = [plot for plot in town.plots if plot.area in indices
                      and isinstance(plot.main, Dwelling)]
        return everything, '', [town.areas[index] for index in sorted(indices)]
    row = [plot for plot in same if plot.side == first.side]
    if style == 'row' and first.side and len(row) >= 3:
        length = int(rng.integers(3, min(len(row), 12) + 1))
        start = int(rng.integers(len(row) - length + 1))
        return row[start:start + length], 'row', []
    most = 5 if town.resolution < 0.8 else 12
    count = min(int(rng.choice([1, 2, 3, rng.integers(4, most + 1)], p=[.4, .25, .15, .2])),
                len(plots))
    if style == 'near':
        away = [np.linalg.norm(plot.main.centre - first.main.centre) for plot in plots]
        return [plots[i] for i in np.argsort(away)[:count]], '', []
    chosen = [plots[i] for i in rng.permutation(len(plots))[:count]]
    fronting = all(plot.side for plot in chosen) and len({plot.area for plot in chosen}) == 1
    return chosen, 'along' if fronting else '', []


def large_buildings(town: Town) -> list[Change]:
    """Large buildings appear or disappear, one, several, or all of an area."""
    rng = town.rng
    plots = [plot for plot in town.plots
             if plot.visible and not isinstance(plot.main, Dwelling)]
    if not plots:
        return _hall_on_open(town)
    first = plots[rng.integers(len(plots))]
    same = [plot for plot in plots if plot.area == first.area]
    whole = rng.random() < 0.4
    area = town.areas[first.area]
    count = len(same) if whole else min(int(rng.choice([1, 2, 3], p=[.6, .28, .12])), len(same))
    chosen = [same[i] for i in rng.permutation(len(same))[:count]]
    action = BUILT if rng.random() < 0.7 else REMOVED
    change = _switch(town, [plot.main for plot in chosen], action)
    change.ground, cleared = _vacate(town, chosen, [area] if whole else [], action)
    return [change, *cleared]


def _open_box(town: Town, width: float, depth: float) -> tuple[Area, np.ndarray] | None:
    """Find room for a rectangle in metres inside an open area that the image shows."""
    rng = town.rng
    for _ in range(12):
        area = _area_of(town, 'meadow', 'field', 'site', 'wild')
        if area is None:
            return None
        half = np.array([width, depth]) / 2
        low, high = area.low + half, area.high - half
        if (low > high).any():
            continue
        middle = rng.uniform(low, high)
        if (np.abs(town.image(middle) - SIDE / 2) < SIDE / 2 - 12).all() and town.scene.room.free(
                [town.box(middle - half, middle + half)], 2):
            return area, middle
    return None


def _hall_on_open(town: Town) -> list[Change]:
    """A large building appears on open ground, or is taken away from it."""
    rng = town.rng
    width, depth = np.exp(rng.uniform(np.log(22), np.log(80), 2))
    found = _open_box(town, width + 6, depth + 6)
    if found is None:
        return []
    area, middle = found
    main = town.block(middle, (width, depth), rng.uniform(6, 14), str(rng.choice(
        ['hall', 'flat', 'hip'], p=[.5, .35, .15])), 0.0, str(rng.choice(list('ILUO'))), True)
    half = np.array([width, depth]) / 2
    outline = town.box(middle - half * 1.2, middle + half * 1.2)
    yard = town.surface(outline, str(rng.choice(['concrete', 'soil', 'gravel', 'site'])))
    plot = Plot(outline, main, area.index, 0, [yard])
    town.scene.things.append(main)
    town.take([main], 1)
    action = BUILT if rng.random() < 0.7 else REMOVED
    change = _switch(town, [main], action, '', _below(town, area.kind))
    yard.when = main.when
    lots = _lot_beside(town, plot, middle, half) if action == BUILT and rng.random() < 0.4 else []
    return [change, *lots]


def _lot_beside(town: Town, plot: Plot, middle: np.ndarray, half: np.ndarray) -> list[Change]:
    """Pave a lot beside a new building if one side has room."""
    rng = town.rng
    depth = rng.uniform(18, 36)
    for side in rng.permutation([-1, 1]):
        place = middle + np.array([0, side * (half[1] * 1.2 + depth / 2 + 2)])
        lot = Lot(town.image(place), (2 * half[0] * town.unit, depth * town.unit),
                  town.direction(place), rng.uniform(0.1, 0.8))
        if town.scene.room.free(lot.footprint(), 1) and (
                np.abs(lot.centre - SIDE / 2) < SIDE / 2 - 8).all():
            town.scene.add(lot, 1)
            return [_switch(town, [lot], BUILT, '', _below(town, town.areas[plot.area].kind))]
    return []


def redevelopment(town: Town) -> list[Change]:
    """Houses of an area give way to one large building."""
    rng = town.rng
    plots = [plot for plot in town.plots if plot.visible and isinstance(plot.main, Dwelling)]
    if len(plots) < 3:
        return large_buildings(town)
    first = plots[rng.integers(len(plots))]
    area = town.areas[first.area]
    main = town.block((area.low + area.high) / 2,
                      tuple(np.exp(rng.uniform(np.log(22), np.log(60), 2))), rng.uniform(7, 20),
                      str(rng.choice(['flat', 'hall'])), 0.0, str(rng.choice(list('ILUO'))), True)
    main.parts = [part + first.main.centre - main.centre for part in main.parts]
    hull = cv2.convexHull(np.concatenate(main.parts).astype(np.float32))[:, 0]
    ground = main.centre + (hull - main.centre) * 1.12
    below = [plot for plot in town.plots if any(
        within(part, ground).any() or within(ground[:4], part).any() for part in plot.main.parts)]
    blocked = any(within(road.points, ground).any() for road in town.scene.roads)
    if len(below) < 2 or blocked or not all(isinstance(plot.main, Dwelling) for plot in below):
        return houses(town)
    gone = _switch(town, [plot.main for plot in below], REMOVED)
    town.surface(ground, str(rng.choice(['concrete', 'paving', 'site', 'lawn'])), TO)
    town.scene.things.append(main)
    town.take([main], 1)
    return [_switch(town, [main], BUILT), gone]


def new_road(town: Town) -> list[Change]:
    """A road is laid across an open area, or given up."""
    rng, area = town.rng, _area_of(town, 'meadow', 'field', 'site', 'wild', 'wood')
    if area is None:
        return houses(town)
    (a0, b0), (a1, b1) = area.low, area.high
    t = np.linspace(0, 1, 17)[:, None]
    if rng.random() < 0.5:
        b = rng.uniform(b0 + 5, b1 - 5)
        course = np.array([a0 - 4, b]) + t * (a1 - a0 + 8, 0)
    else:
        a = rng.uniform(a0 + 5, a1 - 5)
        course = np.array([a, b0 - 4]) + t * (0, b1 - b0 + 8)
    course = course + 6 * np.sin(3.1 * t) * rng.normal(0, 1, 2)
    surface = str(rng.choice(['asphalt', 'concrete', 'dirt'], p=[.6, .2, .2]))
    road = Road(town.image(course), max(rng.uniform(5, 11) * town.unit, 3.0), surface)
    if not town.scene.room.free([road.points[2:-2].repeat(2, 0)], 2):
        return []
    built = rng.random() < 0.85
    ground = _below(town, area.kind)
    cleared: list[Change] = []
    if built and (area.kind == 'wood' or rng.random() < 0.15):
        trees = _trees_in(town, road.footprint(), FROM)
        if trees is not None:
            town.scene.things.append(trees)
            cleared, ground = [Change('trees', REMOVED, [trees], '', 'woods')], 'woods'
    town.scene.add(road, 1)
    return [_switch(town, [road], BUILT if built else REMOVED, '', ground), *cleared]


def vegetation(town: Town) -> list[Change]:
    """A stand of trees is cleared or planted on open ground."""
    rng, area = town.rng, _area_of(town, 'meadow', 'field', 'wild', 'wood', 'sports')
    if area is None:
        return houses(town)
    outline = town.box(area.low, area.high)
    if rng.random() < 0.6:
        outline = blob(rng, rng.uniform(40, SIDE - 40, 2), rng.uniform(25, 80))
    action = BUILT if rng.random() < 0.35 else REMOVED
    trees = _trees_in(town, [outline], TO if action == BUILT else FROM)
    if trees is None:
        return []
    town.scene.things.append(trees)
    town.scene.room.take([outline], 0)
    return [_switch(town, [trees], action, '', _below(town, area.kind))]


def water(town: Town) -> list[Change]:
    """A pond is dug or filled in on open ground."""
    radius = np.exp(town.rng.uniform(np.log(8), np.log(40)))
    found = _open_box(town, 2 * radius, 2 * radius)
    if found is None:
        return []
    pond = Pond(blob(town.rng, town.image(found[1]), radius * 0.85 * town.unit))
    return _on_open(town, pond, found[0], 0.65)


def paving(town: Town) -> list[Change]:
    """A parking lot is paved or broken up on open ground."""
    size = town.rng.uniform(22, 70, 2)
    found = _open_box(town, *size)
    if found is None:
        return []
    lot = Lot(town.image(found[1]), tuple(size * town.unit), town.direction(found[1]),
              town.rng.uniform(0.1, 0.85))
    return _on_open(town, lot, found[0], 0.75)


def _on_open(town: Town, thing: Thing, area: Area, built: float) -> list[Change]:
    """Add a thing to an open area at one date."""
    town.scene.add(thing, 2)
    action = BUILT if town.rng.random() < built else REMOVED
    return [_switch(town, [thing], action, '', _below(town, area.kind))]


def _crowns(town: Town, outlines: list[np.ndarray], share: float, spacing: float = 0.0
            ) -> np.ndarray:
    """Return crowns (N, 4) where there is room inside outlines: x, y, radius, variant."""
    rng = town.rng
    spacing = max((spacing or rng.uniform(4.5, 8)) * town.unit, 4.5)
    corners = np.concatenate(outlines)
    low = np.maximum(corners.min(0), -MARGIN)
    high = np.minimum(corners.max(0), SIDE + MARGIN)
    if (high <= low).any():
        return np.zeros((0, 4))
    grid = [np.arange(a, b, spacing) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*grid), -1).reshape(-1, 2)
    points = points + rng.uniform(-0.5, 0.5, points.shape) * spacing
    # Trees stand together: the noise of the place thins them out here and gathers them there.
    field = patch(noise_tiles()['coarse'], rng)
    column, row = np.clip(points + MARGIN, 0, len(field) - 1).astype(int).T
    gathered = share * np.clip(1 + 0.9 * field[row, column], 0, 2.5)
    points = points[rng.random(len(points)) < np.maximum(gathered, share - 0.3)]
    points = points[np.any([within(points, outline) for outline in outlines], axis=0)] \
        if len(points) else points
    radius = np.clip(0.5 * np.exp(rng.normal(0, 0.35, len(points))), 0.18, 1.1) * spacing
    crowns = np.concatenate([points, np.maximum(radius, 2)[:, None],
                             rng.integers(0, 12, (len(points), 1))], 1)
    if len(crowns):
        crowns = crowns[town.scene.room.free_points(crowns[:, :2], max(round(1.2 * town.unit), 1))]
    return crowns[:MOST_CROWNS]


def _plant(town: Town) -> None:
    """Add fixed trees: woods, groves, and single ones in gardens and along streets."""
    rng = town.rng
    dry = town.scene.biome in ('desert', 'bareland')
    canvas = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (SIDE + 2 * MARGIN) - float(MARGIN)
    base = {'woods': rng.uniform(0.35, 0.9), 'desert': 0.02}.get(
        town.scene.biome, float(rng.beta(1.1, 5)) * (0.5 if dry else 1.0))
    stands = [_crowns(town, [canvas], base)]
    stands += [_crowns(town, [outline], share * (0.5 if dry else 1.0))
               for outline, share in town.groves if share > 0]
    stands = np.concatenate(stands)
    evergreen = rng.random(len(stands)) < rng.choice([0.0, 0.5, 1.0])
    for kind in (False, True):  # two groups at most: each is drawn by passes over the whole image
        if (evergreen == kind).any():
            town.scene.things.append(Trees(stands[evergreen == kind], kind))


RECIPES: tuple[tuple[Callable[[Town], list[Change]], float], ...] = (
    (houses, 0.46), (large_buildings, 0.17), (redevelopment, 0.06), (new_road, 0.11),
    (vegetation, 0.07), (water, 0.05), (paving, 0.08))
