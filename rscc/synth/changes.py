"""Recipes of the changes between two dates.

A recipe adds objects that exist at one date only and returns ``Change`` records, from which
masks and captions are made. An unchanged pair runs a recipe too and then keeps one date's objects
at both dates: from a single image nobody can tell whether its pair changed.
"""
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rscc.synth.objects import (
    BOTH,
    FROM,
    SIDE,
    TO,
    House,
    Pond,
    Road,
    Thing,
    Trees,
    bend,
    blob,
    ribbon,
    walk,
)
from rscc.synth.scene import (
    Scene,
    Slot,
    furnish,
    inside,
    lay_out,
    line_across,
    make_building,
    make_house,
    make_lot,
    make_pond,
    make_road,
    scatter,
    slots_along,
    street_angle,
    within,
)

BUILT, REMOVED = 'built', 'removed'
MIN_CLEARED = 10  # crowns: fewer would be a change that captions must mention and nobody sees


@dataclass
class Change:
    """One statement about a pair.

    Attributes:
        kind: Name of what changed: 'house', 'building', 'road', 'trees', 'pond', 'parking lot'.
        action: 'built' (also planted, dug, paved) or 'removed' (also demolished, cleared, filled).
        things: The objects; of changes read from masks, their outlines.
        relation: '' or how they lie: 'along', 'both sides', 'row'.
        ground: What was there before or will be there after: a biome; '' where it is not known.
        where: Place in the image, see ``mask.place_of``; filled in once the mask is drawn.
        pixels: Visible pixels of the change in the mask; likewise.
    """

    kind: str
    action: str
    things: list[Thing] = field(repr=False)
    relation: str = ''
    ground: str = 'meadow'
    where: str = ''
    pixels: int = 0

    @property
    def count(self) -> int:
        """Number of objects; crowns for trees."""
        if self.kind == 'trees':
            return sum(len(group.crowns) for group in self.things)
        return len(self.things)

    def metadata(self) -> dict[str, str | int]:
        """Return the record as the annotation file stores it."""
        return {'kind': self.kind, 'action': self.action, 'count': self.count,
                'where': self.where, 'relation': self.relation, 'ground': self.ground}


def plan(rng: np.random.Generator, changed: bool) -> tuple[Scene, list[Change]]:
    """Lay out a place and what happens to it.

    Args:
        rng: Source of all randomness.
        changed: Whether the pair shall differ.

    Returns:
        The scene and its changes, none for an unchanged pair. A changed pair has no changes
        either where the recipe found no room; the caller draws again.
    """
    scene = lay_out(rng)
    recipes, weights = zip(*RECIPES, strict=True)
    recipe = recipes[rng.choice(len(recipes), p=np.array(weights) / sum(weights))]
    changes = recipe(scene, rng)
    furnish(scene, rng)
    if changed:
        return scene, changes
    date = FROM if rng.random() < 0.5 else TO
    scene.things = [thing for thing in scene.things if thing.exists(date)]
    for thing in scene.things:
        thing.when = BOTH
    return scene, []


def _commit(scene: Scene, things: list[Thing], action: str, relation: str = '',
            ground: str | None = None, margin: float = 3) -> Change:
    """Add the objects at the date the action implies and return the record."""
    for thing in things:
        thing.when = TO if action == BUILT else FROM
        scene.add(thing, margin)
    return Change(things[0].name, action, things, relation, ground or scene.biome)


def _cleared_trees(scene: Scene, regions: list[np.ndarray], rng: np.random.Generator,
                   when: str = FROM) -> Trees | None:
    """Return a stand of trees inside outlines, where nothing is yet, or None if too few."""
    crowns = scatter(rng, rng.uniform(9.5, 11.5))
    crowns = crowns[np.any([within(crowns[:, :2], region) for region in regions], axis=0)]
    if not len(crowns):
        return None
    crowns = crowns[scene.room.free_points(crowns[:, :2], 5)]
    visible = ((crowns[:, :2] > 0) & (crowns[:, :2] < SIDE)).all(1).sum()
    return Trees(crowns, bool(rng.random() < 0.5), when=when) if visible >= MIN_CLEARED else None


def _clear_for(scene: Scene, things: list[Thing], rng: np.random.Generator,
               chance: float) -> list[Change]:
    """Perhaps let a wood stand where ``things`` will be; always in a wood."""
    if rng.random() > (1.0 if scene.biome == 'woods' else chance):
        return []
    trees = _cleared_trees(scene, [_surroundings(thing, rng) for thing in things], rng)
    return [_commit(scene, [trees], REMOVED, '', 'woods', 0)] if trees else []


def _surroundings(thing: Thing, rng: np.random.Generator) -> np.ndarray:
    """Return the outline of the site that building ``thing`` takes."""
    if isinstance(thing, Road):
        return ribbon(thing.points, thing.width + rng.uniform(20, 44))
    corners = np.concatenate(thing.footprint())
    centre = (corners.min(0) + corners.max(0)) / 2
    reach = np.linalg.norm(corners - centre, axis=1).max()
    return blob(rng, centre, reach * 1.1 + rng.uniform(6, 14), 0.1)


def _pick_slots(slots: list[Slot], rng: np.random.Generator) -> tuple[list[Slot], str]:
    """Choose which slots change: a few anywhere, a row on one side, or both sides of a road."""
    road = slots[rng.integers(len(slots))].road
    slots = [slot for slot in slots if slot.road == road]
    sides = [[slot for slot in slots if slot.side == side] for side in (-1, 1)]
    style = rng.random()
    if style < 0.3 and max(map(len, sides)) >= 3:
        row = max(sides, key=len)
        length = int(rng.integers(3, len(row) + 1))
        start = int(rng.integers(len(row) - length + 1))
        return row[start:start + length], 'row'
    if style < 0.6 and min(map(len, sides)) >= 2:
        chosen = [slot for side in sides for slot in side if rng.random() < 0.8]
        if len(chosen) >= 3 and len({slot.side for slot in chosen}) == 2:
            return chosen, 'both sides'
    count = min(int(rng.choice([1, 2, 3, 4], p=[0.4, 0.3, 0.2, 0.1])), len(slots))
    chosen = [slots[i] for i in rng.permutation(len(slots))[:count]]
    split = len(chosen) > 1 and len({slot.side for slot in chosen}) == 2
    return chosen, 'both sides' if split else 'along'


def houses_by_road(scene: Scene, rng: np.random.Generator) -> list[Change]:
    """Houses are built, or demolished, beside a road that was there."""
    if not scene.slots:
        return houses_in_open(scene, rng)
    slots, relation = _pick_slots(scene.slots, rng)
    houses: list[Thing] = []
    for slot in slots:
        if scene.room.free(slot.house.footprint(), 2):
            houses.append(slot.house)
    if not houses:
        return []
    built = rng.random() < 0.72
    cleared = _clear_for(scene, houses, rng, 0.2) if built else []
    ground = 'woods' if cleared else scene.biome
    change = _commit(scene, houses, BUILT if built else REMOVED, relation, ground)
    if rng.random() < 0.5:
        for slot in slots:
            if scene.room.free([slot.drive.outline], 0):
                scene.add(slot.drive, 0)
    return [change, *cleared]


def houses_in_open(scene: Scene, rng: np.random.Generator) -> list[Change]:
    """A group of houses away from roads is built or demolished, perhaps in a wood."""
    target = int(rng.choice([1, 2, 3, 4, 5], p=[0.3, 0.25, 0.2, 0.15, 0.1]))
    centre, angle = rng.uniform(50, SIDE - 50, 2), street_angle(scene, rng)
    houses = _cluster(scene, rng, centre, angle, target)
    if not houses:
        return []
    built = rng.random() < 0.72
    cleared = _clear_for(scene, houses, rng, 0.35) if built else []
    ground = 'woods' if cleared else scene.biome
    return [_commit(scene, houses, BUILT if built else REMOVED, '', ground), *cleared]


def _cluster(scene: Scene, rng: np.random.Generator, centre: np.ndarray, angle: float,
             target: int) -> list[Thing]:
    """Return up to ``target`` houses near ``centre`` that keep clear of each other."""
    houses: list[House] = []
    for _ in range(8 * target):
        at = centre + rng.normal(0, 12 + 10 * target, 2)
        house = make_house(at, angle + rng.normal(0, 0.05), rng)
        apart = all(np.linalg.norm(at - other.centre) > 40 for other in houses)
        if inside(at, 18) and apart and scene.room.free(house.footprint(), 4):
            houses.append(house)
        if len(houses) == target:
            break
    return list(houses)


def large_buildings(scene: Scene, rng: np.random.Generator) -> list[Change]:
    """One or two large buildings are built or demolished, perhaps with a parking lot."""
    angle, built = street_angle(scene, rng), rng.random() < 0.72
    buildings: list[Thing] = []
    for _ in range(12):
        building = make_building(rng.uniform(45, SIDE - 45, 2), angle, rng)
        apart = all(np.linalg.norm(building.centre - other.centre) > 105 for other in buildings)
        if apart and scene.room.free(building.footprint(), 5):
            buildings.append(building)
            if len(buildings) == 2 or rng.random() < 0.65:
                break
    if not buildings:
        return []
    action = BUILT if built else REMOVED
    cleared = _clear_for(scene, buildings, rng, 0.2) if built else []
    changes = [_commit(scene, buildings, action, '', 'woods' if cleared else scene.biome)]
    if built and rng.random() < 0.5:
        changes += _lot_beside(scene, buildings[0], rng)
    return changes + cleared


def _lot_beside(scene: Scene, building: Thing, rng: np.random.Generator) -> list[Change]:
    """Pave a lot along one side of a new building, if one side is free of older things."""
    side = rng.permutation([[0, 1], [0, -1], [1, 0], [-1, 0]])
    cos, sin = np.cos(building.angle), np.sin(building.angle)
    for direction in side:
        lot = make_lot(np.zeros(2), building.angle, rng)
        reach = (np.array(building.size) + np.array(lot.size)) / 2 + 5
        lot.centre = building.centre + (direction * reach) @ np.array([[cos, sin], [-sin, cos]])
        if inside(lot.centre, 24) and scene.room.free(lot.footprint(), 1):
            return [_commit(scene, [lot], BUILT)]
    return []


def new_road(scene: Scene, rng: np.random.Generator) -> list[Change]:
    """A road is laid, often with houses along it; now and then one is given up."""
    if any(isinstance(thing, Pond) for thing in scene.things):
        return []
    road = make_road(_new_line(scene, rng), rng)
    old = scene.roads
    built = rng.random() < 0.88
    houses, relation = [], ''
    if built and rng.random() < 0.55:
        scene.add(road)
        slots = slots_along(road, 99, scene.room, rng)
        scene.things.remove(road)
        if slots:
            picked, relation = _pick_slots(slots, rng)
            houses = [slot.house for slot in picked]
    cleared = _clear_around_road(scene, road, houses, old, rng) if built else []
    ground = 'woods' if cleared else scene.biome
    changes = [_commit(scene, [road], BUILT if built else REMOVED, '', ground)]
    if houses:
        changes.append(_commit(scene, houses, BUILT, relation, ground))
    return changes + cleared


def _new_line(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return a course that crosses older roads at a steep angle or branches off one of them."""
    if not scene.roads:
        return line_across(rng, rng.uniform(0, np.pi), rng.uniform(70, 186, 2),
                           float(rng.choice([8, 80])))
    older = scene.roads[rng.integers(len(scene.roads))].points
    length = np.linalg.norm(np.diff(older, axis=0), axis=1).sum()
    at, tangent = walk(older, np.array([length * rng.uniform(0.42, 0.58)]))
    angle = float(np.arctan2(tangent[0, 1], tangent[0, 0]) + np.pi / 2 + rng.normal(0, 0.15))
    if rng.random() < 0.4:
        return line_across(rng, angle, at[0], 8.0)
    ahead = np.array([np.cos(angle), np.sin(angle)]) * rng.choice([-1, 1])
    if (SIDE / 2 - at[0]) @ ahead < 0:
        ahead = -ahead
    reach = float(rng.choice([90, 130, 300]))
    side = np.array([-ahead[1], ahead[0]]) * rng.normal(0, 18)
    return bend(at[0], at[0] + ahead * reach / 2 + side, at[0] + ahead * reach)


def _clear_around_road(scene: Scene, road: Road, houses: list[Thing], old: list[Road],
                       rng: np.random.Generator) -> list[Change]:
    """Let a strip of wood stand where a road is laid; always in a wood.

    The road took its room already when its slots were found, so the trees are placed in a fresh
    occupancy that knows the older roads only.
    """
    room = scene.room
    scene.room = type(room)()
    for thing in old:
        scene.room.take(thing.footprint(), 2)
    try:
        return _clear_for(scene, [road, *houses], rng, 0.3)
    finally:
        scene.room.taken |= room.taken


def vegetation(scene: Scene, rng: np.random.Generator) -> list[Change]:
    """A stand of trees is cleared or planted."""
    outline = blob(rng, rng.uniform(40, SIDE - 40, 2), rng.uniform(34, 80))
    built = rng.random() < 0.35
    trees = _cleared_trees(scene, [outline], rng)
    if trees is None:
        return []
    return [_commit(scene, [trees], BUILT if built else REMOVED, margin=0)]


def water(scene: Scene, rng: np.random.Generator) -> list[Change]:
    """A pond is dug or filled in."""
    return _one_area(scene, rng, lambda at: make_pond(at, rng), 0.65)


def paving(scene: Scene, rng: np.random.Generator) -> list[Change]:
    """A parking lot is paved or broken up."""
    angle = street_angle(scene, rng)
    return _one_area(scene, rng, lambda at: make_lot(at, angle, rng), 0.75)


def _one_area(scene: Scene, rng: np.random.Generator, make: Callable[[np.ndarray], Thing],
              built_share: float) -> list[Change]:
    """Build or remove one object at a random free place."""
    built = rng.random() < built_share
    for _ in range(12):
        thing = make(rng.uniform(35, SIDE - 35, 2))
        if scene.room.free(thing.footprint(), 4):
            cleared = _clear_for(scene, [thing], rng, 0.15) if built else []
            ground = 'woods' if cleared else scene.biome
            return [_commit(scene, [thing], BUILT if built else REMOVED, '', ground), *cleared]
    return []


def redevelopment(scene: Scene, rng: np.random.Generator) -> list[Change]:
    """Houses give way to a large building."""
    for _ in range(12):
        building = make_building(rng.uniform(55, SIDE - 55, 2), street_angle(scene, rng), rng)
        if scene.room.free(building.footprint(), 6):
            houses = _cluster(scene, rng, building.centre, building.angle,
                              int(rng.integers(2, 4)))
            break
    else:
        return []
    if len(houses) < 2:
        return []
    return [_commit(scene, [building], BUILT), _commit(scene, houses, REMOVED)]


RECIPES: tuple[tuple[Callable[[Scene, np.random.Generator], list[Change]], float], ...] = (
    (houses_by_road, 0.26), (houses_in_open, 0.14), (large_buildings, 0.14), (new_road, 0.2),
    (vegetation, 0.09), (water, 0.06), (paving, 0.07), (redevelopment, 0.04))
