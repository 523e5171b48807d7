"""Cross-validation of a fine-tuning recipe: what it gains on pairs that it has not been given.

The pairs of a folder are divided into folds. For every fold a model is trained on the other pairs,
by the config and through the code of ``tools/train.py``, and answers the pairs of the fold. What
all folds answered is scored as one set, beside the answers of the model that they started from.
"""
import argparse
import datetime
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rscc.apis.inferencer import ChangeInferencer
from rscc.apis.launch import build_runner, load_config
from rscc.commands.train import add_arguments
from rscc.rasters.labels import PARTLY_KNOWN
from rscc.utils import write_json
from rscc.utils.files import file_hash
from rscc.utils.paths import PathList, images_of_tiles, write_path_list
from tools.benchmark.machine import Machine, describe_machine
from tools.benchmark.real_answers import JudgedPair, judge
from tools.benchmark.real_scores import map_scores
from tools.benchmark.real_sets import RealPair, RealSet, pairs_of
from tools.benchmark.tables import Section, Text, command_line

SCORES = ('F1', 'IoU', 'precision', 'recall', 'AP')


def cross_validate(folder: str | Path, config: str, out: str | Path, *, folds: int = 4,
                   seeds: int = 1, start: str | None = None, keep: bool = False,
                   device: str | None = None, cfg_options: Mapping[str, Any] | None = None
                   ) -> dict[str, Any]:
    """Train on all folds but one, answer that one, in turn; score all answers before and after.

    Args:
        folder: Holds ``A``, ``B`` and ``label``, files of one name each.
        config: The recipe: a config that trains on ``PathListCDDataset``.
        out: Gets ``scores.json`` and a folder for every training.
        folds: Parts into which the pairs are divided; tiles of one image stay together.
        seeds: How often all is repeated, with other folds and random numbers.
        start: Weights that every training starts from; None for ``load_from`` of the config.
        keep: Keep the checkpoints of the trainings.
        device: Where the pairs are answered; None takes the best one here.
        cfg_options: Settings of the config by dotted key.

    Returns:
        Scores before and after by seed, what was run, and where.

    Raises:
        FileNotFoundError: If folder, config or weights are not there.
        ValueError: If there are fewer images than folds, or pairs without a label.
    """
    folder, out = Path(folder).resolve(), Path(out)
    given = dict(cfg_options or {}) | ({} if start is None else {'load_from': start})
    pairs = pairs_of(folder.parent, RealSet(folder.name, folder.name))
    divided = [folds_of(pairs, folds, seed) for seed in range(seeds)]
    cfg = _recipe(config, out, pairs, given)
    one = RealSet(folder.name, folder.name, counted_classes(cfg.train_dataloader.dataset))
    starter = ChangeInferencer(cfg.load_from, device=device)
    before = _answers(starter, one, pairs)
    result = {
        'folder': folder.name, 'pairs': len(pairs), 'folds': folds, 'config': Path(config).stem,
        'start': str(cfg.load_from),
        'sha256': file_hash(starter.model_pass.loaded.file) or 'unknown',
        'iterations': cfg.train_cfg.get('max_iters'), 'counted': list(one.counted),
        'options': given, 'before': _scores(before), 'after': [], 'seconds': [],
        'machine': asdict(describe_machine(str(starter.device))), 'command': command_line(),
        'date': datetime.date.today().isoformat()}
    for seed, parts in enumerate(divided):
        after: list[JudgedPair] = []
        for number, held in enumerate(parts):
            began = time.perf_counter()
            checkpoint = _train(config, out / f'seed{seed}' / f'fold{number}',
                                [pair for pair in pairs if pair not in held],
                                {**given, 'randomness.seed': seed})
            result['seconds'].append(time.perf_counter() - began)
            after += _answers(ChangeInferencer(checkpoint, device=str(starter.device)), one, held)
            if not keep:
                checkpoint.unlink()
            print(f'seed {seed}, fold {number + 1} of {folds}: trained on '
                  f'{len(pairs) - len(held)} pairs in {result["seconds"][-1]:.0f} s, answered '
                  f'{len(held)}', flush=True)
        result['after'].append({'seed': seed, **_scores(after)})
    write_json(out / 'scores.json', result)
    return result


def folds_of(pairs: Sequence[RealPair], count: int, seed: int) -> list[list[RealPair]]:
    """Divide pairs into folds of about equal size, tiles of one image together.

    Args:
        pairs: All with a label.
        count: Number of folds, at least 2.
        seed: Of the order in which images are dealt out.

    Raises:
        ValueError: If there are fewer images than folds, or a pair has no label.
    """
    bare = [pair.name for pair in pairs if pair.label is None]
    if bare:
        raise ValueError(f'{len(bare)} of {len(pairs)} pairs have no label, the first: {bare[0]}. '
                         'Put masks of the same names into the folder label')
    images = images_of_tiles([(pair.img_from, ) for pair in pairs])
    known = sorted(set(images))
    if not 2 <= count <= len(known):
        raise ValueError(f'{count} folds of {len(known)} images ({len(pairs)} pairs): expected 2 '
                         f'to {len(known)}')
    order = np.random.default_rng(seed).permutation(len(known))
    fold = {known[place]: number % count for number, place in enumerate(order)}
    return [[pair for pair, image in zip(pairs, images, strict=True) if fold[image] == number]
            for number in range(count)]


def counted_classes(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the classes that the labels of a training tell apart; none where they are any change.

    Args:
        dataset: Config of a dataset with ``label_map`` and ``classes``.
    """
    labels = {int(label) for label in (dataset.get('label_map') or {}).values()} - {0}
    names = dataset.get('classes') or ()
    return () if PARTLY_KNOWN[0] in labels else tuple(
        names[label] for label in sorted(labels) if label < len(names))


def _recipe(config: str, work: Path, train: Sequence[RealPair], options: Mapping[str, Any]) -> Any:
    """Return the checked config of a training on some pairs, as ``tools/train.py`` reads it."""
    rows = [(pair.img_from, pair.img_to, pair.label) for pair in train]
    listed = write_path_list(PathList('train', rows), work)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([config, '--work-dir', str(work), '--data-root', str(work)])
    args.cfg_options = {**options, 'train_dataloader.dataset.ann_file': str(listed.resolve())}
    cfg = load_config(args, stages=('train', ))
    if not cfg.get('load_from'):
        raise ValueError(f"'{config}' starts from no weights: nothing is fine-tuned. Set load_from "
                         'in it, or name them with --start')
    return cfg


def _train(config: str, work: Path, train: Sequence[RealPair], options: Mapping[str, Any]) -> Path:
    """Train on some pairs and return the last checkpoint."""
    cfg = _recipe(config, work, train, options)
    cfg.experiment_name = '_'.join(work.parts[-3:])  # MMEngine keeps one log a name
    build_runner(cfg).train()
    return Path((work / 'last_checkpoint').read_text().strip())


def _answers(inferencer: ChangeInferencer, one: RealSet, pairs: Sequence[RealPair]
             ) -> list[JudgedPair]:
    """Return the judged maps of a model."""
    return [judge(one, pair, {'': inferencer(*pair.images(), probabilities=True, sentences=False)})
            for pair in pairs]


def _scores(judged: Sequence[JudgedPair]) -> dict[str, Any]:
    """Return the scores of the pooled pixels, and those of each pair."""
    return {**map_scores(judged), 'by_pair': {one.pair.name: map_scores([one]) for one in judged}}


def section_of(result: Mapping[str, Any]) -> Section:
    """Return the table of a cross-validation.

    Args:
        result: What :func:`cross_validate` returned, or ``scores.json``.
    """
    runs, seconds = result['after'], statistics.median(result['seconds'])
    columns: list[Text] = [('', ''), *SCORES]
    rows = [[(f'before: {result["start"]}', f'微调前：{result["start"]}'),
             *(_figure(result['before'], name) for name in SCORES)]]
    rows += [[(f'after, seed {run["seed"]}', f'微调后，种子 {run["seed"]}'),
              *(_figure(run, name) for name in SCORES)] for run in runs]
    if len(runs) > 1:
        rows.append([('after, mean ± standard deviation', '微调后，均值 ± 标准差'),
                     *(_mean([run[name] for run in runs if name in run]) for name in SCORES)])
    counted = ', '.join(result['counted'])
    notes: list[Text] = [(
        f'{result["pairs"]} pairs of {result["folder"]} in {result["folds"]} folds: each pair is '
        'answered by a model that was fine-tuned on the other folds. Scores over the pooled pixels '
        f'of the held-out pairs; what counts: {counted or "any class"}. AP ranks the pixels of '
        'several models together.',
        f'{result["folder"]} 的 {result["pairs"]} 对影像分为 {result["folds"]} 折：每对影像由在其余'
        '各折上微调的模型推理。分数在全部留出影像对的像素上计算；计入的类别：'
        f'{counted or "任意类别"}。AP 将多个模型的像素放在一起排序。'), (
        f'Recipe: {result["config"]}, {result["iterations"]} iterations, {seconds:.0f} s '
        f'a training (median). Start: SHA-256 {result["sha256"][:16]}.',
        f'方案：{result["config"]}，{result["iterations"]} 次迭代，每次训练 {seconds:.0f} '
        f'秒（中位数）。起始权重：SHA-256 {result["sha256"][:16]}。')]
    title = 'Fine-tuning on a few labelled pairs', '用少量标注影像对微调'
    return Section('finetune', title, columns, rows, Machine(**result['machine']), notes=notes,
                   command=result['command'], date=result['date'])


def _figure(scores: Mapping[str, Any], name: str) -> str:
    return f'{scores[name]:.3f}' if name in scores else '–'


def _mean(values: Sequence[float]) -> str:
    if not values:
        return '–'
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f'{statistics.fmean(values):.3f} ± {spread:.3f}'
