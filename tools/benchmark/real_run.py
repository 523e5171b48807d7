"""One evaluation on real pairs from start to end: answers, scores, panels, index page, log."""
import csv
import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rscc.apis.inferencer import ChangeInferencer
from rscc.inference.result import InferenceResult
from rscc.utils import atomic_write, did_you_mean, read_json, write_json
from rscc.utils.files import file_hash
from rscc.version import __version__
from rscc.visualization.overlays import class_palette
from rscc.visualization.panels import draw_panel
from rscc.visualization.picture_files import safe_name, save_image, save_mask
from rscc.visualization.report import write_report
from tools.benchmark.machine import describe_machine
from tools.benchmark.real_answers import JudgedPair, answer_pairs, known_classes, time_pair
from tools.benchmark.real_scores import headline, map_scores, scores_of
from tools.benchmark.real_sets import SETS, UNCHANGED_SETS, RealPair, RealSet, pairs_of, sets_below
from tools.benchmark.real_tables import log_line
from tools.benchmark.tables import command_line

SAVED = 'scores.json'
_NEEDED = ('name', 'sha256', 'machine', 'maps', 'false_area', 'flags', 'sentences', 'pairs')
#: Name and colour of what a label marks without saying of which class it is.
_LABELLED, _COLOUR = 'labelled as changed', [235, 60, 200]


def evaluate(checkpoint: str | Path, root: str | Path, unchanged_root: str | Path | None = None, *,
             sets: Sequence[str] | None = None, name: str | None = None,
             out: str | Path | None = None, panels: bool = True, rounds: int = 20,
             log: str | Path | None = None, device: str | None = None,
             cfg_options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Answer and score every real pair, and save what came out.

    Args:
        checkpoint: What :class:`rscc.apis.ChangeInferencer` takes.
        root: Folder of the sets, see ``real_sets``.
        unchanged_root: Folder of the sets in which nothing changed; None leaves them out.
        sets: Names of folders, or titles, of the sets to answer; None for all.
        name: Of the run in tables; the checkpoint's by default.
        out: Gets ``scores.json``, ``pairs.csv``, and, with ``panels``, pictures and ``index.html``.
        panels: Draw them.
        rounds: Timed calls; 0 for none.
        log: File that gets one more line.
        device: Where the model computes; None takes the best one here.
        cfg_options: Settings of the config by dotted key.

    Returns:
        Scores and a record of each pair, with model, machine, command and date.

    Raises:
        FileNotFoundError: If the checkpoint, the root, or a set that is asked for is not there.
        ValueError: If the model reads single images, or no pair could be answered.
    """
    inferencer = ChangeInferencer(checkpoint, device=device, cfg_options=cfg_options)
    if inferencer.meta.get('task', 'pair') != 'pair':
        raise ValueError(f"'{inferencer.checkpoint}' reads single images; a model of pairs was "
                         'expected')
    name = name or _name_of(checkpoint)
    out = Path(out) if out else Path('work_dirs/real_check', safe_name(name))
    places, skipped = _places(root, unchanged_root, sets)
    pictures = _Pictures(out, inferencer) if panels else None
    judged, left_out, frames = [], [], []

    def show(one: JudgedPair, answer: InferenceResult) -> None:
        if not frames:
            frames.extend(answer.frames)
        if pictures is not None:
            pictures.add(one, answer)

    for place, pairs in places.items():
        answered, problems = answer_pairs(inferencer, place, pairs, show)
        judged, left_out = judged + answered, left_out + problems
    if not judged:
        raise ValueError(f"none of the pairs below '{root}' could be answered; the first: "
                         f'{next(iter(left_out), "there are none")}')
    now = datetime.datetime.now()
    run = {'name': name, 'checkpoint': Path(inferencer.checkpoint).name,
           'sha256': file_hash(inferencer.model_pass.loaded.file) or 'unknown',
           'version': __version__,
           'config': inferencer.model_pass.loaded.name, 'date': now.date().isoformat(),
           'time': now.strftime('%H:%M'), 'command': command_line(),
           'root': Path(root).resolve().name,
           'classes': list(inferencer.meta.get('classes') or ['unchanged', 'changed']),
           'machine': asdict(describe_machine(str(inferencer.device))), 'rounds': rounds,
           'skipped': skipped, 'left_out': left_out, **scores_of(judged),
           'times': time_pair(inferencer, frames, rounds) if rounds else {}}
    _save(run, out, log)
    if pictures is not None:
        pictures.write_index(run)
    print(f"\n{len(judged)} pairs answered, {len(left_out)} could not be read: '{out}'")
    for reason in skipped:
        print(f'skipped: {reason}')
    return run


def _name_of(checkpoint: str | Path) -> str:
    """Return the name of a published model or folder; of a file, its folder's name as well."""
    path = Path(checkpoint)
    return f'{path.parent.name}/{path.stem}'.lstrip('/') if path.suffix else path.name


def _places(root: str | Path, unchanged_root: str | Path | None, wanted: Sequence[str] | None
            ) -> tuple[dict[str, list[tuple[RealSet, RealPair]]], list[str]]:
    """Return root -> sets and pairs, and what is left out with the reason."""
    places, skipped, seen = {}, [], []
    for place, known in ((root, SETS), (unchanged_root, UNCHANGED_SETS)):
        if known is UNCHANGED_SETS and not (place and Path(place).is_dir()):
            skipped.append('unchanged pairs: RSCC_TRAIN, or --unchanged-root, names no folder')
            continue
        sets, missing = sets_below(Path(place), known)
        if known is UNCHANGED_SETS:  # training material beside them is no set
            sets = [one for one in sets if one in known]
        seen += sets
        if wanted is None:
            skipped += missing
        places[str(place)] = [
            (one, pair) for one in sets if wanted is None or {one.folder, one.title} & {*wanted}
            for pair in pairs_of(Path(place), one)]
    names = [one.folder for one in seen] + [one.title for one in seen]
    for name in wanted or ():
        if name not in names:
            raise FileNotFoundError(f"no set '{name}' below '{root}' or '{unchanged_root}'."
                                    f'{did_you_mean(name, names)} There are: '
                                    f'{", ".join(one.folder for one in seen) or "none"}')
    return places, skipped


def _save(run: Mapping[str, Any], out: Path, log: str | Path | None) -> None:
    """Write the scores, the table of pairs, and the line of the log."""
    if log is not None:  # first: what was measured must be known, whatever fails behind it
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with open(log, 'a+', encoding='utf-8') as file:
            file.write(log_line(run))
            file.seek(0)
            count = sum(f'| {run["root"]}, ' in line for line in file)
        print(f"evaluation {count} on '{run['root']}' in '{log}'")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SAVED, run)
    names = list(dict.fromkeys(key for record in run['pairs'] for key in record))
    with atomic_write(out / 'pairs.csv') as file:
        table = csv.DictWriter(file, names, lineterminator='\n')
        table.writeheader()
        for record in run['pairs']:
            table.writerow({key: ' | '.join(value) if isinstance(value, list) else value
                            for key, value in record.items()})


def read_run(path: str | Path) -> dict[str, Any]:
    """Read what an earlier run saved.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else.
    """
    run = read_json(path)
    missing = [key for key in _NEEDED if key not in run] if isinstance(run, dict) else _NEEDED
    if missing:
        raise ValueError(f"'{path}' is no {SAVED} of real_check.py: it lacks {missing[:4]}")
    return run


class _Pictures:
    """Panels of the pairs, and what the index page needs.

    Args:
        out: Folder that gets them.
        inferencer: The model, for its classes.
    """

    def __init__(self, out: Path, inferencer: ChangeInferencer) -> None:
        self.out, self.samples = out, []
        names = list(inferencer.meta.get('classes') or ['unchanged', 'changed'])
        # A class of its own for labels that do not say what it is that changed.
        colours = class_palette(len(names), inferencer.meta.get('palette'))
        self.several = len(names) > 2
        self.classes = [*names, _LABELLED] if self.several else names
        self.palette = [list(colour) for colour in colours] + ([_COLOUR] if self.several else [])
        self.language = inferencer.meta.get('language')

    def add(self, one: JudgedPair, answer: InferenceResult) -> None:
        """Draw one pair, and keep its masks for the index page."""
        sample = one.pair.name.replace('/', '.')  # folders are no part of a file's name
        name, reference = safe_name(sample), self._reference(one)
        said = ' / '.join(one.sentences.values()) or None
        panel = draw_panel(
            answer.frames, gt_mask=reference, pred_mask=answer.mask, prediction=said,
            references=one.pair.references, title=one.pair.name, palette=self.palette,
            classes=self.classes)
        save_image(self.out / 'panels' / f'{name}.png', panel)
        for folder, mask in (('masks', answer.mask), ('reference_masks', reference)):
            if mask is not None:
                save_mask(self.out / folder / f'{name}.png', mask, self.palette)
        paths = [os.path.abspath(path) for path in (one.pair.img_from, one.pair.img_to)]
        if one.pair.cut:  # the page shows what the model saw
            paths = [str(save_image(self.out / 'frames' / f'{name}_{date}.png', frame))
                     for date, frame in zip('AB', answer.frames, strict=True)]
        scores = map_scores([one]) if one.target is not None and one.called is not None else {}
        if one.called is not None:
            scores['called'] = float(one.called.mean())
        self.samples.append({
            'sample_id': sample, 'img_path_from': paths[0], 'img_path_to': paths[1],
            'prediction': said, 'references': list(one.pair.references),
            'gt_change_flag': one.changed, 'scores': scores,
            **({} if one.probability is None else {'pred_change_flag': one.says('head')})})

    def _reference(self, one: JudgedPair) -> np.ndarray | None:
        """Return the label in the model's classes, uint8 (H, W)."""
        if one.target is None:
            return None
        labelled = known_classes(self.classes, one.one.counted)
        plain = len(self.classes) - 1 if self.several and len(labelled) != 1 else 1
        mask = one.target.astype(np.uint8) * np.uint8(labelled[0] if len(labelled) == 1 else plain)
        for name, part in one.parts.items():
            if own := known_classes(self.classes, [name]):
                mask[part] = own[0]
        return mask

    def write_index(self, run: Mapping[str, Any]) -> Path:
        """Write ``index.html``, one page with every pair."""
        metrics = {f'figures/{name}': value for name, value in headline(run)}
        page = {'metrics': metrics, 'samples': self.samples, 'config': run['config'],
                'checkpoint': f'{run["name"]}, SHA-256 {run["sha256"][:16]}',
                'dataset': {'dataset_type': 'real pairs', 'classes': self.classes,
                            'palette': self.palette, 'language': self.language}}
        return write_report(page, self.out / 'index.html', mask_dir=self.out / 'masks')
