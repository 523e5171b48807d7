"""Pair check: whether two dates of a scene fit each other and the weights, before any model runs.

Headers, one reduced image a date and a few windows at full resolution are looked at. Every finding
says ok, warn or refuse, what was found, and what to do. Nothing is changed here.
"""
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rscc.rasters.image_files import as_rgb
from rscc.scenes.appearance import (
    check_bands,
    check_depth,
    compare_light,
    hint_clouds,
    hint_haze,
)
from rscc.scenes.contracts import CheckFinding, ModelFacts
from rscc.scenes.ground import check_pixel_size, check_system
from rscc.scenes.reading import PairReader
from rscc.scenes.shift import ACCURACY, Shift, estimate_shift
from rscc.text.pair_findings import Share, tell
from rscc.utils.watching import step

#: Share of the earlier date that the later one covers, below which it is worth a second look: more
#: than half of the scene gets no answer.
OVERLAP = 0.5
#: Share of pixels without data from which on it is worth a look. The tilted footprint of a
#: satellite's scene fills more than half of its rectangle.
NODATA = 0.5
#: Shift in pixels from which on outlines of unchanged things look like changes: rendered training
#: pairs are up to 1.5 pixels apart, and models learn to pass over that.
SHIFT = 1.5
_RANK = ('ok', 'warn', 'refuse')


@dataclass(frozen=True)
class PairCheck:
    """The result of a pair check.

    Attributes:
        verdict: ``'ok'``, ``'warn'`` or ``'refuse'``: the worst status of the findings.
        findings: One a check.
        shift: Where the later date shows things relative to the earlier one, (columns, rows) in
            pixels; (0, 0) within the accuracy of the estimate, None without a sure one.
    """
    verdict: str
    findings: tuple[CheckFinding, ...]
    shift: tuple[float, float] | None = None

    @classmethod
    def of(cls, findings: list[CheckFinding],
           shift: tuple[float, float] | None = None) -> 'PairCheck':
        """Return the check whose verdict is the worst of its findings."""
        verdict = max((finding.status for finding in findings), key=_RANK.index)
        return cls(verdict, tuple(findings), shift)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> 'PairCheck':
        """Return the check that :meth:`to_dict` described."""
        shift = stored['shift']
        return cls(stored['verdict'],
                   tuple(CheckFinding(**finding) for finding in stored['findings']),
                   None if shift is None else tuple(shift))

    @property
    def reasons(self) -> list[str]:
        """Texts of the findings that are not ok."""
        return [finding.text for finding in self.findings if finding.status != 'ok']

    def to_dict(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        return dict(verdict=self.verdict, shift=None if self.shift is None else list(self.shift),
                    findings=[asdict(finding) for finding in self.findings])

    def __str__(self) -> str:
        width = max(len(finding.name) for finding in self.findings)
        lines = [f'{finding.name:{width}}  {finding.status:6}  {finding.text}'
                 for finding in self.findings]
        return '\n'.join([*lines, f"{'verdict':{width}}  {self.verdict}"])


def check_pair(reader: PairReader, facts: ModelFacts | None = None) -> PairCheck:
    """Check the dates of a scene.

    Args:
        reader: The dates on one grid; one date alone gets the checks that apply to it.
        facts: Of the model: the pixel size, bands and values that its weights know.

    Raises:
        ValueError: If a date without data has no percentiles, see ``scale``.
        Exception: What ends it between its steps, see :func:`rscc.utils.watching.watched`.
    """
    facts = facts or ModelFacts()
    frames, masks = reader.reduced_each()
    step()
    valid = np.logical_and.reduce(masks)
    findings = [check_system(reader), check_pixel_size(reader, facts), _check_nodata(masks, valid),
                check_bands(reader, frames, masks, facts)]
    if not valid.any():
        return PairCheck.of(findings)
    step()
    findings.append(check_depth(reader, frames, masks, facts))
    if len(frames) == 1:
        return PairCheck.of(findings)
    findings.insert(2, _check_overlap(reader))
    frames = [as_rgb(frame) for frame in frames]
    shift = estimate_shift(reader, frames, valid)
    findings.append(_check_shift(shift))
    for look in (compare_light, hint_clouds, hint_haze):
        step()
        findings.append(look(frames, valid))
    return PairCheck.of(findings, _usable(shift))


def refused(reason: str) -> PairCheck:
    """Return the check of dates that cannot even be laid on one grid."""
    return PairCheck.of([CheckFinding.of('grids', 'refuse', None,
                                         tell('grids', reason=reason))])


def _check_overlap(reader: PairReader) -> CheckFinding:
    left, top, right, bottom = reader.overlap
    share = (right - left) * (bottom - top) / (reader.grid.width * reader.grid.height)
    told = tell('overlap', share=Share(share))
    if share < OVERLAP:
        told += tell('overlap_little')
    return CheckFinding.of('overlap', 'ok' if share >= OVERLAP else 'warn', round(share, 4), told)


def _check_nodata(masks: list[np.ndarray], valid: np.ndarray) -> CheckFinding:
    shares, lacking = [1 - float(mask.mean()) for mask in masks], 1 - float(valid.mean())
    value = [round(share, 4) for share in [*shares, lacking]]
    if not lacking:
        return CheckFinding.of('nodata', 'ok', value, tell('nodata_none'))
    first, *second = map(Share, shares)
    told = tell('nodata_one', first=first)
    if second:
        told = tell('nodata_both', first=first, second=second[0], all=Share(lacking))
    if not valid.any():
        return CheckFinding.of('nodata', 'refuse', value, told + tell('nodata_all'))
    if lacking > NODATA:
        return CheckFinding.of('nodata', 'warn', value, told + tell('nodata_much'))
    return CheckFinding.of('nodata', 'ok', value, told)


def _check_shift(shift: Shift | None) -> CheckFinding:
    if shift is None:
        return CheckFinding.of('shift', 'warn', None, tell('shift_untold'))
    value, agree = asdict(shift), dict(agreeing=shift.agreeing, windows=shift.windows)
    if not shift.sure:
        return CheckFinding.of('shift', 'warn', value, tell('shift_unsure', **agree))
    if shift.length < ACCURACY:
        return CheckFinding.of('shift', 'ok', value, tell('shift_none', least=ACCURACY, **agree))
    told = tell('shift_found', across=abs(shift.columns), along=abs(shift.rows), **agree,
                side=tell('right' if shift.columns > 0 else 'left'),
                way=tell('down' if shift.rows > 0 else 'up'))
    if shift.length > SHIFT:
        return CheckFinding.of('shift', 'warn', value, told + tell('shift_far'))
    return CheckFinding.of('shift', 'ok', value, told)


def _usable(shift: Shift | None) -> tuple[float, float] | None:
    if shift is None or not shift.sure:
        return None
    return (0.0, 0.0) if shift.length < ACCURACY else (shift.columns, shift.rows)
