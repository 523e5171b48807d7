"""The run of a check-up: every sample examined, in threads, kept as it goes, then compared."""
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from rscc.doctor.comparison import compare
from rscc.doctor.details import detail, joined
from rscc.doctor.kinds import WORDS
from rscc.doctor.pictures import Look, look_at
from rscc.doctor.register import Register
from rscc.doctor.sentences import against, examine
from rscc.doctor.sources import Part, Sample
from rscc.utils import progress

#: Samples that are kept at once; a killed run loses no more.
BATCH = 64


def check_up(parts: Sequence[Part], state: str | Path | None = None, pixels: bool = True,
             jobs: int | None = None, files: bool = True, language: str = 'en') -> Register:
    """Examine all samples of a dataset and compare them.

    Args:
        parts: What is examined.
        state: File that keeps what is done: a run that was ended goes on from there. None keeps
            nothing beyond this run.
        pixels: Whether images and masks are decoded; else their headers alone are read.
        jobs: Threads; None takes as many as there are cores.
        files: Whether image files are looked at; else captions and flags alone.
        language: Of the progress bar, ``'en'`` or ``'zh'``.

    Returns:
        The record, complete.

    Raises:
        ValueError: If there is no sample, annotations cannot be read, or ``state`` is the record of
            something else.
    """
    # What Pillow warns of becomes a finding.
    warnings.filterwarnings('ignore', category=UserWarning, module='PIL')
    register = Register(state, identity(parts, pixels, files))
    try:
        _examine_all(register, parts, (files, pixels), jobs, WORDS[language])
        if not register.done and not any(part.faulty for part in parts):
            roots = ', '.join(sorted({repr(part.root) for part in parts}))
            raise ValueError(joined([detail('no_samples', roots=roots), *(
                detail('at', path=path, why=why) for part in parts
                for path, why in part.unreadable.items())]))
        compare(register, parts, files)
    except BaseException:
        register.close()
        raise
    return register


def identity(parts: Sequence[Part], pixels: bool, files: bool) -> dict[str, Any]:
    """Return what a record must have been made of to be continued."""
    stamps = {}
    for part in parts:
        for file in filter(None, part.files):
            known = os.stat(file) if Path(file).exists() else None
            stamps[file] = known and [known.st_size, known.st_mtime_ns]
    return {'version': 2, 'pixels': pixels, 'images': files, 'files': stamps,
            'parts': [[part.title, part.root, part.language, part.bands, part.scale, part.splits,
                       part.classes, part.max_tokens, part.rules] for part in parts]}


def _examine_all(register: Register, parts: Sequence[Part], depth: tuple[bool, bool],
                 jobs: int | None, words: Mapping[str, Any]) -> None:
    estimates = [part.estimate for part in parts]
    total = None if None in estimates else sum(estimates)
    done = register.done
    everything = enumerate((place, sample) for place, part in enumerate(parts)
                           for sample in part.samples())

    def row(found: tuple[int, tuple[int, Sample]]) -> dict[str, Any]:
        number, (place, sample) = found
        return _row(number, place, sample, parts[place], *depth)

    # Rows of datasets that are asked for their items come from one reader.
    threads = 1 if any(part.load for part in parts) else jobs or os.cpu_count()
    with ThreadPoolExecutor(threads) as pool, progress(
            None, words['checking'], total, words['one_sample']) as bar:
        bar.update(done)
        rest = islice(everything, done, None)
        while batch := list(islice(rest, BATCH)):
            register.add(pool.map(row, batch))
            bar.update(len(batch))


def _row(number: int, place: int, sample: Sample, part: Part, files: bool, pixels: bool
         ) -> dict[str, Any]:
    """Return what the record keeps of a sample."""
    look = look_at(sample, part, pixels) if files or sample.fault else Look()
    found = dict(look.found)
    if sample.captions is not None and not sample.fault:
        found |= examine(sample.captions, part.language, part.stock, sample.flag, look.changed,
                         part.tokens_of, part.max_tokens, not part.single)
    elif sample.flag is not None and look.changed is not None:
        found |= dict(against(sample.flag, None, look.changed))
    data = dict(images=list(sample.images), label=sample.label, flag=sample.flag,
                captions=None if sample.captions is None else list(sample.captions),
                number=sample.number, sizes=look.sizes, forms=look.forms, classes=look.classes,
                changed=look.changed)
    return dict(n=number, part=place, name=sample.name, split=sample.split, place=sample.place,
                data=data, digests=look.digests, prints=look.prints, found=found)


def clean_lines(register: Register, kinds: Sequence[str]) -> Iterator[str]:
    """Yield ``split<TAB>id`` of every sample that has no finding of the given kinds."""
    doubtful = register.of_kinds(kinds)
    skip = next(doubtful, None)
    for n, _, name, split, _ in register.samples():
        while skip is not None and skip < n:
            skip = next(doubtful, None)
        if skip != n:
            yield f'{split}\t{name}'
