"""Spatial split of tiles: whole blocks go to one split, and splits keep a distance.

Neighbouring tiles show the same houses, roads and light: a random split of them tests a model on
what it was trained on. Here the tiles of a scene form a lattice, squares of tiles are blocks, every
block goes to one split, and a tile that lies too near to a tile of another split is left out. Of
many drawn ways to assign the blocks, the one is taken that comes nearest to the wanted shares, has
the same share of change in every split, and leaves out the fewest tiles.
"""
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SPLITS = ('train', 'val', 'test')
#: Values of a split map besides the numbers of :data:`SPLITS`.
UNUSED, BUFFER = -1, -2
#: Ways to assign the blocks that are drawn and compared.
_DRAWS = 400
#: What wrong shares, unequal shares of change and tiles left out weigh against each other.
_WEIGHTS = (2.0, 0.5, 1.0)


@dataclass(frozen=True)
class Spacing:
    """Distances on a lattice of tiles, in pixels.

    Attributes:
        size: Side of a tile.
        step: From one tile to the next.
        gap: Least distance between tiles of two splits.
    """
    size: int
    step: int
    gap: int

    @property
    def reach(self) -> int:
        """Tiles to each side, along rows and columns, that are nearer than the gap."""
        # Tiles d places apart have d * step - size pixels between them.
        return math.ceil((self.size + self.gap) / self.step) - 1


def check_shares(shares: Sequence[float]) -> tuple[float, ...]:
    """Return shares of train, val and test whose sum is 1.

    Raises:
        ValueError: If they are not three numbers of 0 or more, the first above 0, with sum 1.
    """
    if len(shares) != len(SPLITS) or not all(math.isfinite(share) and share >= 0
                                             for share in shares) or (
            not shares[0] or abs(sum(shares) - 1) > 1e-6):
        given = ' '.join(f'{share:g}' for share in shares)
        raise ValueError(f'splits {given}: expected the shares of train, val and test, 0 or more, '
                         'train above 0, whose sum is 1')
    return tuple(map(float, shares))


def block_side(usable: np.ndarray) -> int:
    """Return the side of a block in tiles that leaves enough blocks for a choice.

    Args:
        usable: Where the lattice has a tile, bool (R, C).
    """
    return int(np.clip(math.sqrt(usable.sum() / 24), 1, 8))


def split_tiles(usable: np.ndarray, changed: np.ndarray, shares: Sequence[float], block: int,
                spacing: Spacing, seed: int = 0) -> np.ndarray:
    """Assign tiles to splits.

    Args:
        usable: Where the lattice has a tile that may be used, bool (R, C).
        changed: Share of changed pixels of every tile, 0 to 1, (R, C).
        shares: Wanted shares of train, val and test; a split of share 0 gets nothing.
        block: Side of a block in tiles.
        spacing: Distances on the lattice.
        seed: Of the draws; the same seed gives the same split.

    Returns:
        int8 (R, C): numbers of :data:`SPLITS`, :data:`UNUSED`, or :data:`BUFFER` for tiles that are
        left out because they lie too near to another split.

    Raises:
        ValueError: If no draw leaves every wanted split a tile.
    """
    shares, changed = check_shares(shares), np.where(usable, changed, 0)
    wanted = [number for number, share in enumerate(shares) if share]
    rows, columns = (np.arange(size) // block for size in usable.shape)
    blocks = rows[:, None] * (columns[-1] + 1) + columns
    rng, best = np.random.default_rng(seed), (math.inf, None)
    for draw in range(_DRAWS if len(wanted) > 1 else 1):
        owners = _owners(blocks, usable, shares, rng, scattered=draw % 2 == 0)
        drawn = _with_gaps(np.where(usable, owners[blocks], UNUSED).astype(np.int8), shares,
                           spacing.reach)
        cost = _cost(drawn, usable, changed, shares)
        if cost < best[0]:
            best = cost, drawn
    if best[1] is None:
        raise ValueError(
            f'{int(usable.sum())} tiles in {len(np.unique(blocks[usable]))} blocks of {block} x '
            f'{block} tiles cannot be divided into {", ".join(SPLITS[i] for i in wanted)} with '
            f'{spacing.gap} pixels between the splits. Make tiles, overlap or blocks smaller '
            '(--size, --overlap, --block), lower --gap, or take fewer splits (--splits 0.8 0.2 0)')
    return best[1]


def _owners(blocks: np.ndarray, usable: np.ndarray, shares: Sequence[float],
            rng: np.random.Generator, scattered: bool) -> np.ndarray:
    """Draw a split for every block (B,): scattered blocks, or strips across the scene."""
    weights = np.bincount(blocks[usable], minlength=blocks.max() + 1)
    if scattered:
        order = rng.permutation(len(weights))
    else:
        angle, width = rng.uniform(0, 2 * np.pi), blocks[0, -1] + 1
        places = np.arange(len(weights))
        order = np.argsort(np.cos(angle) * (places % width) + np.sin(angle) * (places // width),
                           kind='stable')
    splits = rng.permutation(len(shares))
    ends = np.cumsum([shares[split] for split in splits])
    # The split in whose share the middle of a block's tiles falls.
    middles = (np.cumsum(weights[order]) - weights[order] / 2) / max(weights.sum(), 1)
    owners = np.empty(len(weights), np.int8)
    owners[order] = splits[np.minimum(np.searchsorted(ends, middles), len(ends) - 1)]
    return owners


def _with_gaps(drawn: np.ndarray, shares: Sequence[float], reach: int) -> np.ndarray:
    """Leave out tiles that are too near to another split; the smaller split keeps its tiles."""
    kernel = np.ones((2 * reach + 1,) * 2, np.uint8)
    taken = np.zeros(drawn.shape, np.uint8)
    for split in sorted(range(len(shares)), key=lambda number: (shares[number], -number)):
        mine = drawn == split
        drawn[mine & (taken > 0)] = BUFFER
        taken |= cv2.dilate((drawn == split).astype(np.uint8), kernel)
    return drawn


def _cost(drawn: np.ndarray, usable: np.ndarray, changed: np.ndarray, shares: Sequence[float]
          ) -> float:
    """Return how far a split is from what is wanted; infinite if a wanted split is empty."""
    counts = np.array([(drawn == split).sum() for split in range(len(shares))])
    if any(share and not count for share, count in zip(shares, counts, strict=True)):
        return math.inf
    total, whole = counts.sum(), changed[usable].mean()
    unequal = [abs(changed[drawn == split].mean() / whole - 1)
               for split in np.flatnonzero(counts)] if whole else [0.0]
    parts = (np.abs(counts / total - shares).sum(), np.minimum(unequal, 1).mean(),
             1 - total / usable.sum())
    return float(np.dot(_WEIGHTS, parts))
