"""Prediction files: our JSON, ``{id: caption}``, COCO's results, or one caption a line."""
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from rscc.evaluation.records import CaptionRecord, caption_details
from rscc.evaluation.references import NAMINGS, References
from rscc.structures import caption_from
from rscc.text.normalisation import LANGUAGES, warn
from rscc.utils import check_choice, counted, read_json, write_json
from rscc.utils.files import read_text
from rscc.utils.forms import check_form, shorten
from rscc.utils.paths import sample_name

_ENDINGS = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp')
#: Noise level and sentence of every step of a denoising trajectory (once called a strip).
_STEPS = ([[float, str]], None)
#: What is read of our own file; it holds more (paths, n-best lists, scores).
_OURS = {'samples': [{
    'sample_id': str, 'prediction?': (str, None), 'score?': (float, None),
    'references?': ([str], None), 'gt_change_flag?': (bool, None),
    'pred_change_flag?': (bool, None), 'agreement?': (float, None), 'abstained?': bool,
    'drawn?': int, 'truncated?': (int, None), 'trajectory?': _STEPS, 'strip?': _STEPS,
    'swapped?': {'prediction?': (str, None)}, 'shown?': dict}]}
#: What is read of the dataset that our file names.
_METADATA = {'dataset?': {'language?': (set(LANGUAGES), None), 'no_change_captions?': ([str], None),
                          'frequent_caption?': (str, None), 'task?': (str, None)},
             'split?': (str, None)}


def add_metrics(path: str | os.PathLike, metrics: Mapping[str, float],
                facts: Mapping[str, Any] | None = None) -> None:
    """Put the scores of a run into its predictions file, keeping everything else.

    Args:
        path: A file that ``PredictionDump`` wrote.
        metrics: Flat scores; merged over those already there.
        facts: Further entries of the file, how images were normalised for instance.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it is no predictions file.
    """
    data = read_json(path)
    check_form(data, {'samples': list, 'metrics?': dict}, f"predictions file '{path}'")
    data['metrics'] = {**data.get('metrics', {}), **{k: float(v) for k, v in metrics.items()}}
    write_json(path, data | dict(facts or {}))


def read_predictions(path: str | os.PathLike, references: References | None = None,
                     naming: str | None = None, partial: bool = False) -> list[CaptionRecord]:
    """Read predictions of any form and put them beside their references.

    Args:
        path: Our predictions JSON (its own references are used unless ``references`` is given), a
            JSON object ``{id: caption}``, a list of ``{'image_id': id, 'caption': caption}``, or a
            text file with one caption a line in the order of the sorted names.
        references: What :func:`rscc.evaluation.references.read_references` returned.
        naming: What the ids are: ``'name'`` (of the file, with or without ending) or ``'imgid'``.
            By default the only one that fits them all.
        partial: Score what both sides have, and count the rest in a warning.

    Returns:
        Records that have both sides, in order of names.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If the file is of another form, references are needed, or ids or lines do not
            match them.
    """
    path = Path(path)
    if naming is not None:
        check_choice('naming', naming, NAMINGS)
    # The form is told by the ending and the layout; each branch ends with both sides joined.
    if path.suffix.lower() == '.txt':
        return _from_lines(path, references)
    data = read_json(path, unique_keys=True)
    if isinstance(data, dict) and isinstance(data.get('samples'), list):
        _check_samples(path, data)
        # Our own file carries references, ids by name and denoising trajectories.
        if references is None:
            return _own_records(path, data['samples'])
        said = {sample['sample_id']: sample['prediction'] for sample in data['samples']
                if sample.get('prediction') is not None}
        known = {sample['sample_id']: _details(sample) for sample in data['samples']}
        return [replace(record, **known[record.sample_id]) for record in
                _join(path, said, references, naming or 'name', partial)]
    captions = _captions(path, data)
    _need(path, references)
    # Foreign files: ids may be names, names without ending, or numbers.
    said = _without_endings(path, captions)
    # An ending of a file name was found: these ids are no numbers.
    if naming is None and said.keys() != captions.keys():
        naming = 'name'
    return _join(path, said, references, naming or _naming(path, said, references, partial),
                 partial)


def _check_samples(path: Path, data: dict) -> None:
    """Refuse samples that are not as ``PredictionDump`` writes them."""
    check_form(data, _OURS, f"'{path}'", 'tools/test.py --out writes such a file.')
    if not data['samples']:
        raise ValueError(f"'{path}': its list 'samples' is empty: the run that wrote it answered "
                         'nothing. Write it again with tools/test.py --out, on a split that has '
                         'samples')
    seen: set[str] = set()
    for place, sample in enumerate(data['samples']):
        if sample['sample_id'] in seen:
            raise ValueError(f"'{path}': sample {place} has the 'sample_id' "
                             f"{sample['sample_id']!r}; a name that no other sample has was "
                             'expected')
        seen.add(sample['sample_id'])


def _captions(path: Path, data: Any) -> dict[str, str]:
    """Return caption by id of an object ``{id: caption}`` or a list of COCO's results."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(data, dict):
        pairs = list(data.items())
    elif isinstance(data, list) and all(
            isinstance(row, dict) and {'image_id', 'caption'} <= set(row) for row in data):
        pairs = [(row['image_id'], row['caption']) for row in data]
    if not pairs:
        shown = 'nothing' if data in ({}, []) else f'{type(data).__name__} {shorten(data)}'
        raise ValueError(f"'{path}' is no predictions file: expected the JSON of tools/test.py "
                         '--out, an object {id: caption}, a list of {image_id, caption}, or a .txt '
                         f'with one caption a line; found {shown}')
    for key, text in pairs:
        check_form(key, (str, int), f"'{path}': an image id")
        check_form(text, str, f"'{path}': the caption of '{key}'", 'Every id needs one sentence.')
    # COCO's results have numbers for ids, which would hide a repeated image as 1 and '1'.
    captions = {str(key): text for key, text in pairs}
    if len(captions) < len(pairs):
        raise ValueError(f"'{path}' has {len(pairs)} captions of {len(captions)} images; one an "
                         'image was expected')
    return captions


def _own_records(path: Path, samples: list[dict]) -> list[CaptionRecord]:
    records = [CaptionRecord(s['sample_id'], s['prediction'], s['references'],
                             s.get('gt_change_flag'), s.get('pred_change_flag'), **_details(s))
               for s in samples if s.get('references') and s.get('prediction') is not None]
    if not records:
        if all(sample.get('prediction') is None for sample in samples):
            raise ValueError(f"'{path}': none of its {counted(len(samples), 'sample')} has a "
                             'prediction: the model that wrote it has no caption head')
        raise ValueError(f"'{path}' has no sample with prediction and references: give "
                         '--references')
    for key, what in (('prediction', 'prediction'), ('references', 'references')):
        lacking = [s['sample_id'] for s in samples if s.get(key) in (None, [])]
        if lacking:
            warn(f"'{path}': {len(lacking)} of {len(samples)} samples have no {what} and are left "
                 f"out, '{lacking[0]}' the first")
    return sorted(records, key=lambda record: record.sample_id)


def _details(sample: dict) -> dict[str, Any]:
    """Return what a sample's sentence says of itself, as fields of ``CaptionRecord``."""
    score = sample.get('score')
    return {**caption_details(caption_from(sample.get('prediction') or '',
                                           float('nan') if score is None else score, sample)),
            'swapped': (sample.get('swapped') or {}).get('prediction'),
            'shown': sample.get('shown')}


def _from_lines(path: Path, references: References | None) -> list[CaptionRecord]:
    text = read_text(path, 'predictions file')
    _need(path, references)
    lines = text.splitlines()
    names = sorted(references.records)
    if len(lines) != len(names):
        raise ValueError(f"'{path}' has {len(lines)} lines and the split has {len(names)} "
                         'samples: expected one caption a line in the order of the sorted names')
    return _join(path, dict(zip(names, lines, strict=True)), references, 'name', False)


def _need(path: Path, references: References | None) -> None:
    if references is None:
        raise ValueError(f"'{path}' holds captions only: give --references (the annotation file "
                         'of the dataset) and --split')


def _without_endings(path: Path, said: Mapping[str, str]) -> dict[str, str]:
    """Return captions by file name without ending; numbers stay as they are."""
    # Path.stem alone would cut an id such as 'tile_1.5', which is no file name.
    bare = {sample_name(key) if key.lower().endswith(_ENDINGS) else key: text
            for key, text in said.items()}
    if len(bare) < len(said):
        raise ValueError(f"'{path}' has {len(said)} ids for {len(bare)} images: some are there "
                         'with and without the ending of the file name')
    return bare


def _naming(path: Path, said: Mapping[str, str], references: References, partial: bool) -> str:
    """Decide whether ids are file names or numbers, which may look alike ('1' is image 2.tif)."""
    known = references.ids
    fits = [naming for naming in NAMINGS if known[naming].keys() == said.keys()]
    # Several may fit and mean the same.
    if fits and all(known[naming] == known[fits[0]] for naming in fits):
        return fits[0]
    # Nothing fits as a whole: take what most ids fit, unless that would be a guess.
    shared = {naming: len(known[naming].keys() & said.keys()) for naming in NAMINGS}
    likely = [naming for naming in NAMINGS if shared[naming]]
    if len(likely) > 1 and (fits or partial):
        raise ValueError(f"'{path}': its ids, such as '{next(iter(said))}', may be "
                         + ' or '.join(f'{name} ({shared[name]} of {len(said)} known)'
                                       for name in likely) + ': say which with --ids')
    # Ids of another split tell too what they are, and the message will name that split.
    elsewhere = {naming: Counter(known_by[key] for key in said if key in known_by)
                 for naming, known_by in references.elsewhere.items()}
    return max(NAMINGS, key=lambda naming: (shared[naming],
                                            max(elsewhere[naming].values(), default=0)))


def _join(path: Path, said: Mapping[str, str], references: References, naming: str,
          partial: bool) -> list[CaptionRecord]:
    """Put predictions beside their references; each needs the other unless ``partial``."""
    names = references.ids[naming]
    if naming == 'name':
        # Names without the folders of the annotation file, where no other image has that name.
        alone = Counter(PurePosixPath(name).name for name in names)
        short = {PurePosixPath(name).name: name for name in names}
        said = {short[key] if key not in names and alone[key] == 1 else key: text
                for key, text in said.items()}
    missing = [key for key in names if key not in said]
    extra = [key for key in said if key not in names]
    problems = [text for text in (
        missing and f'no prediction for {len(missing)} of {len(names)} images, first: '
        f'{", ".join(missing[:3])}',
        extra and f'{len(extra)} ids that the split does not have, first: {", ".join(extra[:3])}')
        if text]
    # A wrong --split is the usual reason for ids that are unknown.
    others = Counter(references.elsewhere[naming].get(key) for key in extra).most_common(1)
    if others and others[0][0] is not None:
        problems[-1] += f" ({others[0][1]} of them are of split '{others[0][0]}')"
    where = (f"'{path}' against split '{references.split}' of '{references.path}' (ids taken as "
             f'{naming})')
    if problems and not partial:
        raise ValueError(f'{where}: {"; ".join(problems)}. Is it another --split? --partial scores '
                         'what both have, --ids says what the ids are')
    if len(extra) == len(said):
        raise ValueError(f'{where}: they have no image in common; {problems[-1]}')
    if problems:
        warn(f'{where}: {"; ".join(problems)}. Only the {len(said) - len(extra)} images of both '
             'are scored')
    chosen = [(references.records[name], said[key]) for key, name in names.items() if key in said]
    return [CaptionRecord(record.sample_id, text, record.references, record.changed)
            for record, text in chosen]


def read_metadata(path: str | os.PathLike) -> dict:
    """Return dataset and split that a predictions file states, empty for files of other forms.

    Args:
        path: A predictions file of any form; :func:`read_predictions` says what is wrong with it.

    Returns:
        ``dataset`` (metainfo) and ``split``, where the file has them.

    Raises:
        ValueError: If it is a file of ours whose dataset or split is not as it must be.
    """
    path = Path(path)
    if path.suffix.lower() == '.txt' or not path.is_file():
        return {}
    try:
        data = read_json(path)
    except ValueError:
        return {}
    if not isinstance(data, dict) or not isinstance(data.get('samples'), list):
        return {}
    check_form(data, _METADATA, f"'{path}'")
    return {key: data[key] for key in ('dataset', 'split') if data.get(key) is not None}
