"""Reading predictions back: our JSON, a plain ``{id: caption}`` object, or one caption a line."""
import os
from collections.abc import Mapping
from pathlib import Path

from rscc.evaluation.captions import CaptionRecord
from rscc.evaluation.functional.content import says_no_change
from rscc.text.normalisation import warn
from rscc.utils import did_you_mean, read_json, write_json


def add_metrics(path: str | os.PathLike, metrics: Mapping[str, float]) -> None:
    """Put the scores of a run into its predictions file, keeping everything else.

    Args:
        path: A file that ``PredictionDump`` wrote.
        metrics: Flat scores; merged over those already there.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it is no predictions file.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get('samples'), list):
        raise ValueError(f"'{path}' is no predictions file: it has no list 'samples'")
    data['metrics'] = {**data.get('metrics', {}), **{k: float(v) for k, v in metrics.items()}}
    write_json(path, data)


def read_references(path: str | os.PathLike, split: str, language: str = 'en',
                    no_change_captions: tuple[str, ...] = ()) -> dict[str, CaptionRecord]:
    """Read the references of one split of a Karpathy-style annotation file.

    Args:
        path: ``LevirCCcaptions.json`` or another file of its layout.
        split: ``'train'``, ``'val'`` or ``'test'``.
        language: ``'zh'`` reads ``raw_chinese``.
        no_change_captions: Stock sentences, for files without ``changeflag``.

    Returns:
        File name without extension -> record with an empty prediction, in order of names.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it has another layout, nothing in that split, or an image without sentences
            in that language.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get('images'), list):
        raise ValueError(f"'{path}' has no list 'images': expected annotations as in "
                         'LevirCCcaptions.json')
    splits = sorted({str(image.get('split')) for image in data['images']})
    images = [image for image in data['images'] if image.get('split') == split]
    if not images:
        raise ValueError(f"'{path}' has no split '{split}': it has {', '.join(splits)}."
                         f'{did_you_mean(split, splits)}')
    records = {}
    for image in sorted(images, key=lambda image: str(image.get('filename'))):
        sentences = _sentences(image, language, path)
        changed = image.get('changeflag')
        if changed is None:
            changed = not all(says_no_change(s, no_change_captions, language) for s in sentences)
        name = Path(image['filename']).stem
        records[name] = CaptionRecord(name, '', sentences, bool(changed))
    return records


def _sentences(image: Mapping, language: str, path: str | os.PathLike) -> list[str]:
    """Return an image's reference sentences in one language."""
    raw, tokens = (('raw_chinese', 'tokens_chinese') if language == 'zh' else ('raw', 'tokens'))
    blank = '' if language == 'zh' else ' '
    found = [s.get(raw) or blank.join(s.get(tokens) or ()) for s in image.get('sentences') or ()]
    if not image.get('filename') or not found or not all(found):
        raise ValueError(f"'{path}': image '{image.get('filename')}' needs a filename and "
                         f"sentences with '{raw}' or '{tokens}' (language '{language}'); found "
                         f"{str(image.get('sentences'))[:80]}")
    return found


def read_predictions(path: str | os.PathLike,
                     references: Mapping[str, CaptionRecord] | None = None) -> list[CaptionRecord]:
    """Read predictions of any of the three forms.

    Args:
        path: Our predictions JSON (its own references are used unless ``references`` is given), a
            JSON object ``{id: caption}``, or a text file with one caption a line in the order of
            the sorted names.
        references: What :func:`read_references` returned.

    Returns:
        Records that have both sides, in order of names.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If references are needed or ids or lines do not match them.
    """
    path = Path(path)
    if path.suffix.lower() == '.txt':
        return _from_lines(path, references)
    data = read_json(path)
    if isinstance(data, dict) and isinstance(data.get('samples'), list):
        samples = [s for s in data['samples'] if s.get('prediction') is not None]
        if references is None:
            return _own_records(path, samples)
        return _join(path, {s['sample_id']: s['prediction'] for s in samples}, references)
    if isinstance(data, dict) and data and all(isinstance(v, str) for v in data.values()):
        return _join(path, data, references)
    raise ValueError(f"'{path}' is no predictions file: expected the JSON of tools/test.py --out, "
                     'an object {id: caption}, or a .txt with one caption a line')


def _own_records(path: Path, samples: list[dict]) -> list[CaptionRecord]:
    records = [CaptionRecord(s['sample_id'], s['prediction'], s['references'],
                             s.get('gt_change_flag'), s.get('pred_change_flag'))
               for s in samples if s.get('references')]
    if not records:
        raise ValueError(f"'{path}' has no sample with prediction and references: give "
                         '--references')
    if len(records) < len(samples):
        warn(f"'{path}': {len(samples) - len(records)} of {len(samples)} predictions have no "
             'references and are left out')
    return sorted(records, key=lambda record: record.sample_id)


def _from_lines(path: Path, references: Mapping[str, CaptionRecord] | None) -> list[CaptionRecord]:
    if not path.is_file():
        raise FileNotFoundError(f"no such predictions file: '{path}'")
    _need(path, references)
    lines = path.read_text(encoding='utf-8').splitlines()
    if len(lines) != len(references):
        raise ValueError(f"'{path}' has {len(lines)} lines and the split has {len(references)} "
                         'samples: expected one caption a line in the order of the sorted names')
    return _join(path, dict(zip(sorted(references), lines, strict=True)), references)


def _need(path: Path, references: Mapping[str, CaptionRecord] | None) -> None:
    if references is None:
        raise ValueError(f"'{path}' holds captions only: give --references (LevirCCcaptions.json) "
                         'and --split')


def _join(path: Path, predictions: Mapping[str, str],
          references: Mapping[str, CaptionRecord] | None) -> list[CaptionRecord]:
    """Put predictions beside their references; all references need one."""
    _need(path, references)
    endings = ('.png', '.jpg', '.jpeg', '.tif', '.tiff')
    named = {Path(name).stem if name.lower().endswith(endings) else name: text
             for name, text in predictions.items()}
    missing = [name for name in references if name not in named]
    extra = sorted(set(named) - set(references))
    if missing:
        raise ValueError(f"'{path}' has no prediction for {len(missing)} of {len(references)} "
                         f"samples, first: {', '.join(missing[:3])}"
                         + (f" (it has {len(extra)} unknown ids, first: {', '.join(extra[:3])})"
                            if extra else ''))
    if extra:
        warn(f"'{path}': {len(extra)} predictions have no references and are left out, first: "
             f"{', '.join(extra[:3])}")
    return [CaptionRecord(name, named[name], record.references, record.changed)
            for name, record in references.items()]
