"""Pairs of dates made of single labelled images: change detection without bi-temporal labels.

Nobody photographs a place twice and outlines what changed for free, but building footprints of
single images are published for many cities. From them come pairs whose change mask is known:

* ``two_places``: two places as if they were two dates of one; what has buildings at one date only
  is changed (Zheng et al., Change is Everywhere, ICCV 2021, https://arxiv.org/abs/2108.07002, and
  its successor STAR, https://arxiv.org/abs/2406.15694);
* ``erased``: some buildings of one date are covered by ground from elsewhere in the image;
* ``pasted``: buildings of other tiles are laid onto ground without buildings at one date;
* ``unchanged``: one place twice; roofs may be seen from another angle.

Tiles that were photographed at several dates give real differences of light and season to the last
three. Any pair may be a mosaic of several tiles, and any may have *distractors*, patches of ground
that are exchanged at one date with the same seams as what was erased or pasted. Light, season,
sensor and misregistration are the business of the pipeline behind.
"""
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from rscc.datasets import collage
from rscc.datasets.base import ChangeDataset
from rscc.datasets.tile_pool import TilePool, View
from rscc.datasets.tiles import TileDataset
from rscc.rasters.labels import IGNORE
from rscc.registry import DATASETS
from rscc.synth.mask_changes import building_changes, sentences
from rscc.synth.objects import CLASSES, PALETTE
from rscc.text import normalise
from rscc.utils import did_you_mean

#: Share of each kind of pair.
KINDS = MappingProxyType(dict(two_places=0.2, erased=0.3, pasted=0.2, unchanged=0.3))
#: Label of "no building here, and whether anything else changed is unknown".
NO_BUILDING = 254
#: Changed buildings have fewer visible pixels than this: the pair counts as unchanged.
_LEAST_CHANGED = 60


@DATASETS.register_module()
class PseudoPairDataset(ChangeDataset):
    """Pairs made of single labelled images, new ones in every epoch.

    Items are those of any pair dataset: two frames, a mask, a change flag, and sentences from the
    grammar of the built-in dataset (how many, what, where, built or removed). The mask is 1 where a
    building changed and ``rest`` elsewhere: of tiles whose buildings alone are labelled nobody
    knows what else changed. With ``rest=254``, ``rscc.CrossEntropyLoss(absent={254: (1,)})`` then
    learns "no building changed" there and nothing about other classes.

    Args:
        tiles: Configs of ``TileDataset`` (their pipelines are not used), some of them with
            buildings.
        length: Pairs an epoch.
        size: (H, W) of the frames in pixels.
        resolution: Least and largest ground resolution in metres a pixel, drawn log-uniformly.
        kinds: Share of each kind: ``two_places``, ``erased``, ``pasted``, ``unchanged``.
        mosaic: Share of views that are joined from two or four places at least; any view is that
            no single tile fills at its ground resolution.
        dated: Share of the pairs of one place that show it at two real dates, where tiles have
            several (``other_dates`` and ``series`` of ``TileDataset``).
        distractors: Share of pairs with exchanged patches of ground.
        lean: Share of pairs whose roofs are displaced at one date.
        built: Share of changes of one date in which buildings appear; else they disappear.
        rest: Label where no building changed: 0, or 254 as above.
        captions: Sentences a pair and language (``languages`` of ``ChangeDataset``); 0 for none.
        **kwargs: See ``ChangeDataset``; ``pipeline`` begins behind the loading of frames and masks.

    Raises:
        ValueError: If there are no tiles with buildings, or a kind is unknown.
    """
    METAINFO: ClassVar[dict[str, Any]] = {'task': 'pair', 'classes': CLASSES,
                                          'palette': list(PALETTE)}
    TITLE = 'pseudo-pairs'
    ANCHOR = 'pseudo-pairs'

    def __init__(self, tiles: Sequence[Mapping | TileDataset], length: int = 1000, *,
                 size: tuple[int, int] = (256, 256), resolution: tuple[float, float] = (0.3, 1.0),
                 kinds: Mapping[str, float] = KINDS, mosaic: float = 0.3, dated: float = 0.25,
                 distractors: float = 0.5,
                 lean: float = 0.3, built: float = 0.6, rest: int = NO_BUILDING,
                 captions: int = 5, split: str | None = 'train', metainfo: Mapping | None = None,
                 **kwargs):
        for kind in kinds:
            if kind not in KINDS:
                raise ValueError(f"PseudoPairDataset has no kind '{kind}', only {list(KINDS)}."
                                 f'{did_you_mean(kind, KINDS)}')
        if not sum(kinds.values()) > 0 or min(kinds.values()) < 0:
            raise ValueError(f'kinds={dict(kinds)}: shares are not negative, and one is above 0')
        if length < 1 or not 0 < resolution[0] <= resolution[1]:
            raise ValueError(f'length={length} and resolution={resolution}: expected one pair or '
                             'more, and (least, largest) metres a pixel')
        self.sources, self.length, self.size = tiles, length, tuple(size)
        self.resolution, self.rest = tuple(resolution), rest
        self.names = list(kinds)
        self.shares = np.array([kinds[name] for name in self.names]) / sum(kinds.values())
        self.mosaic, self.dated, self.distractors = mosaic, dated, distractors
        self.lean, self.built = lean, built
        self.captions = captions
        self.pool: TilePool | None = None
        middle = float(np.sqrt(resolution[0] * resolution[1]))
        super().__init__(split=split, metainfo={
            'image_size': self.size, 'ground_resolution': round(middle, 2), **(metainfo or {})},
            **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read all tiles into memory and list the pairs to come."""
        self.pool = TilePool.of(self.sources)
        name = self.split or 'all'
        return [{'sample_id': f'{name}_{index:06d}', 'split': name, 'language': self.language,
                 'gt_captions': []} for index in range(self.length)]

    def attach(self, item: dict) -> dict:
        """Make the pair: frames, mask, flag and sentences."""
        rng = item['rng']
        resolution = float(np.exp(rng.uniform(*np.log(self.resolution))))
        kind = self.names[rng.choice(len(self.names), p=self.shares)]
        earlier, later = self.pair(kind, resolution, rng)
        mask, dates = self._mask(earlier.mask, later.mask)
        item |= dict(frames=[earlier.image, later.image], gt_sem_seg=mask, ori_shape=self.size,
                     img_shape=self.size, nodata=None, kind=kind, resolution=resolution)
        changes = building_changes(*dates, resolution)
        if not changes or sum(int(date.sum()) for date in dates) < _LEAST_CHANGED:
            changes, mask[mask == 1] = [], IGNORE  # too little for anybody to see
        item['gt_change_flag'] = bool(changes)
        if self.captions:
            told = {language: [normalise(text, language) for text in sentences(
                changes, language, rng, self.captions)] for language in self.languages}
            item |= dict(gt_captions=told[self.language], languages=self.languages,
                         all_captions=[text for own in told.values() for text in own])
        return super().attach(item)

    def _mask(self, earlier: np.ndarray, later: np.ndarray
              ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Return the label map, and where only the earlier and only the later date has buildings.

        Where both dates have one, it may be another one: ignored in ``two_places`` alone, whose
        dates have masks that overlap by chance.
        """
        there, here = earlier == 1, later == 1
        mask = np.full(self.size, self.rest, np.uint8)
        mask[there ^ here] = 1
        mask[(earlier == IGNORE) | (later == IGNORE)] = IGNORE
        valid = mask != IGNORE
        return mask, (there & ~here & valid, here & ~there & valid)

    # ---- kinds of pairs ----------------------------------------------------------------------

    def pair(self, kind: str, resolution: float, rng: np.random.Generator) -> tuple[View, View]:
        """Make a pair of a kind: two views whose masks tell the buildings of their date.

        Args:
            kind: One of ``KINDS``.
            resolution: Metres a pixel.
            rng: Source of all choices.
        """
        dated = kind != 'two_places' and self.pool.dated and rng.random() < self.dated
        first = (self.pool.dated_view(self.size, resolution, rng) if dated
                 else self.view(resolution, rng))
        second = first.second()
        if kind == 'two_places':
            second = self.view(resolution, rng)
            both = (first.mask == 1) & (second.mask == 1)
            first.mask[both] = IGNORE
        elif kind == 'erased':
            regions = collage.objects_in(first.mask)
            share = rng.uniform() ** 2 if rng.random() < 0.7 else 1.0
            count = max(1, round(share * len(regions)))
            chosen = rng.permutation(len(regions))[:count]
            collage.erase(first, [regions[index] for index in chosen],
                          self.pool.view(self.size, resolution, rng, objects=False), rng)
        elif kind == 'pasted':
            donor = self.pool.view(self.size, resolution, rng, objects=True)
            for piece in collage.cutouts(donor, second, rng,
                                         int(np.exp(rng.uniform(0, np.log(13))))):
                collage.paste(second, piece, rng)
        if rng.random() < self.distractors:
            edited = second if rng.random() < 0.5 else first
            source = self.view(resolution, rng) if rng.random() < 0.5 else edited.copy()
            collage.distract(edited, source, rng, int(rng.integers(1, 7)))
        if kind != 'two_places' and rng.random() < self.lean:
            second.image = collage.lean(second, rng)
        # `second` has what was erased or pasted: in this order, buildings appear.
        return (first, second) if rng.random() < self.built else (second, first)

    def view(self, resolution: float, rng: np.random.Generator) -> View:
        """Return a view of one place, or a mosaic of several."""
        cuts = 0 if rng.random() >= self.mosaic else 1 if rng.random() < 0.6 else 2
        return self.pool.view(self.size, resolution, rng, cuts=cuts)
