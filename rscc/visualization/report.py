"""One HTML file that shows a whole test run, offline.

This module prepares the values that the file shows; ``templates/`` holds how they are shown.
"""
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from rscc.structures import SampledCaption, caption_from
from rscc.utils import atomic_write, progress
from rscc.version import __version__
from rscc.visualization.denoising_trajectory import Run, denoising_rows
from rscc.visualization.fonts import has_cjk
from rscc.visualization.overlays import ERROR_CLASSES, ERROR_PALETTE, tint_palette
from rscc.visualization.panels import LABELS
from rscc.visualization.picture_files import Pictures, Source, Thumbnails, safe_name

_LAYERS = {'pred': 'prediction', 'gt': 'reference', 'errors': 'errors'}
_FACTS = ('split', 'protocol', 'config', 'checkpoint')
#: Metrics shown in their group's table with one decimal, being 100 times a fraction.
_TIMES_100 = ('Bleu_', 'METEOR', 'ROUGE_L', 'CIDEr', 'Sm')
_SUBSETS = {'all': 'all pairs', 'changed': 'changed pairs', 'unchanged': 'unchanged pairs'}
_GROUPS = {'caption': 'Flag and content of the sentences', 'change': 'Change map'}
#: Words that pictures do not need, beside ``LABELS``.
_WORDS = {
    'en': {
        'trajectories': 'Open denoising trajectories',
        'cut': 'cut at the token limit', 'cut_at': 'cut at the limit of {} tokens',
        'cut_why': 'The sentence reached the largest number of tokens that the model may write; '
                   'its end is missing.',
        'cut_count': 'Marked as cut: {} of the {} samples shown. ',
    },
    'zh': {
        'trajectories': '展开去噪轨迹',
        'cut': '达到词元上限被截断', 'cut_at': '达到 {} 个词元的上限被截断',
        'cut_why': '句子达到模型允许输出的最大词元数，结尾缺失。',
        'cut_count': '标为截断的样本：{} / {}。',
    },
}


def write_report(predictions: dict,
                 out_file: str | os.PathLike,
                 *,
                 mask_dir: str | os.PathLike | None = None,
                 reference_mask_dir: str | os.PathLike | None = None,
                 palette: Sequence | None = None,
                 classes: Sequence[str] | None = None,
                 max_samples: int = 500,
                 max_megabytes: float = 20) -> Path:
    """Write a test run as one HTML file with every picture inside.

    Args:
        predictions: What ``tools/test.py --out`` writes: ``metrics`` and ``samples`` besides
            ``config``, ``checkpoint``, ``dataset``, ``split`` and ``protocol``. A sample may also
            hold ``pred_change_flag``; ``truncated`` where its sentence reached the token limit,
            True or the limit; and, of a sentence drawn from noise, ``agreement``, ``abstained``,
            ``drawn`` and ``trajectory``: [[sigma, text], ...], noisiest first.
        out_file: The HTML file; replaced only when the new one is complete.
        mask_dir: Folder of predicted masks, ``<sample id>.png`` by ``PanelHook``.
        reference_mask_dir: Folder of reference masks; None looks for ``reference_masks`` beside
            ``mask_dir``.
        palette: RGB per class; None takes the dataset's.
        classes: Class names; None takes the dataset's.
        max_samples: Samples shown; of more, evenly spaced ones.
        max_megabytes: Size to stay below by making the pictures smaller.

    Returns:
        The file.

    Raises:
        ValueError: If ``predictions`` has no list of samples.
    """
    samples = predictions.get('samples')
    if not isinstance(samples, list):
        raise ValueError("the predictions hold no list 'samples'; found the keys "
                         f'{sorted(predictions)}. Expected what tools/test.py --out writes')
    dataset = predictions.get('dataset') or {}
    palette, classes = palette or dataset.get('palette'), classes or dataset.get('classes')
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), max_samples))
                       .round().astype(int))
    shown = [samples[index] for index in chosen]
    if reference_mask_dir is None and mask_dir is not None:
        reference_mask_dir = Path(mask_dir).parent / 'reference_masks'
    sources = [_source(sample, mask_dir, reference_mask_dir) for sample in shown]
    encode = Thumbnails(sources, palette, max_megabytes * 1e6, dataset.get('bands'),
                        dataset.get('scale'))
    language = dataset.get('language')
    words = {**LABELS.get(language, LABELS['en']), **_WORDS.get(language, _WORDS['en'])}
    with atomic_write(out_file) as file:
        cards = [_card(sample, encode(source), words, dataset) for sample, source in
                 progress(list(zip(shown, sources, strict=True)), 'report', None, 'sample')]
        layers = {key: title for key, title in _LAYERS.items()
                  if any(key in card['layers'] for card in cards)}
        file.writelines(_render(
            **_header(predictions, dataset, len(samples), len(shown)),
            **_controls(cards),
            cards=cards, layers=layers, legends=_legends(palette, classes) if layers else {},
            words=words))
    return Path(out_file)


def _render(**values: object) -> Iterator[str]:
    """Fill the templates; everything but our own style and script is escaped."""
    # Imported here: drawing and training need no templates.
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('rscc.visualization', 'templates'), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True)
    environment.filters['number'] = _number
    css, script = (Markup(environment.loader.get_source(environment, name)[0].strip())
                   for name in ('report.css', 'report.js'))
    return environment.get_template('report.html.j2').generate(css=css, script=script, **values)


def _source(sample: dict, mask_dir: str | os.PathLike | None,
            reference_mask_dir: str | os.PathLike | None) -> Source:
    paths = [sample.get(key) for key in ('img_path_from', 'img_path_to', 'img_path')]
    name = safe_name(sample.get('sample_id', '')) + '.png'
    return Source(tuple(Path(path) for path in paths if path),
                  None if mask_dir is None else Path(mask_dir) / name,
                  None if reference_mask_dir is None else Path(reference_mask_dir) / name)


def _header(predictions: dict, dataset: dict, total: int, shown: int) -> dict:
    facts = {key: predictions[key] for key in _FACTS if predictions.get(key)}
    facts['samples'] = f'{total}' if shown == total else f'{total} ({shown} shown, evenly spaced)'
    facts['written'] = datetime.now().strftime('%Y-%m-%d %H:%M') + f' by rscc {__version__}'
    return {'name': dataset.get('dataset_type') or 'test run', 'facts': facts,
            'language': dataset.get('language') or 'en',
            'tables': _tables(predictions.get('metrics') or {})}


def _controls(cards: list[dict]) -> dict:
    """Return what decides which controls have a use."""
    return {'sort_keys': list(dict.fromkeys(name for card in cards for name in card['scores'])),
            'num_abstained': sum(card['abstained'] for card in cards),
            'num_cut': sum(card['cut'] is not None for card in cards),
            'first_trajectory': next((index for index, card in enumerate(cards)
                                      if card['trajectory']), None)}


def _legends(palette: Sequence | None, classes: Sequence[str] | None) -> dict[str, list]:
    """Return name and colour of every class but the first, by layer."""
    names = list(classes or ())
    change = _swatches(names, tint_palette(len(names), palette))
    return {'pred': change, 'gt': change, 'errors': _swatches(ERROR_CLASSES, ERROR_PALETTE)}


def _swatches(names: Sequence[str], colours: Sequence) -> list[list[str]]:
    return [[name, '#' + bytes(colour).hex()]
            for name, colour in zip(names[1:], colours[1:], strict=True)]


def _tables(metrics: Mapping[str, float]) -> dict:
    """Lay out flat metric keys.

    ``caption/<subset>/<metric>`` become rows of one wide table, with the trivial baselines of
    ``baseline/...`` below; two-part keys (``change/F1_changed``) become one narrow table a group.
    """
    numbers = {key: value for key, value in metrics.items()
               if isinstance(value, int | float) and not isinstance(value, bool)}
    rows, groups = {}, {}
    for key, value in numbers.items():
        *place, name = key.split('/')
        if len(place) > 1:
            rows.setdefault(tuple(place), {})[name] = _cell(name, value)
        else:
            group = place[0] if place else 'metrics'
            title = _GROUPS.get(group, group.capitalize())
            groups.setdefault(title, {})[name] = _cell(name, value)
    ordered = sorted(rows.items(), key=lambda row: row[0][0] == 'baseline')
    columns = list(dict.fromkeys(name for _, cells in ordered for name in cells))
    return {'columns': [name.replace('Bleu_', 'BLEU-') for name in columns], 'groups': groups,
            'rows': [{'title': _row_title(*place), 'baseline': place[0] == 'baseline',
                      'cells': [cells.get(name, '') for name in columns]}
                     for place, cells in ordered]}


def _row_title(origin: str, *subsets: str) -> str:
    title = ', '.join(_SUBSETS.get(part, part.replace('_', ' ')) for part in subsets)
    return title if origin == 'caption' else f'{origin}: {title}'


def _cell(name: str, value: float) -> str:
    return f'{value:.1f}' if name.startswith(_TIMES_100) else _number(value)


def _number(value: float) -> str:
    """Write a number with as many digits as are worth reading."""
    return f'{value:.1f}' if abs(value) >= 10 else f'{value:.3f}'


def _card(sample: dict, pictures: Pictures, words: dict, dataset: dict) -> dict:
    truth, claim = sample.get('gt_change_flag'), _predicted_flag(sample, dataset)
    said = sample.get('prediction')
    caption = caption_from(said or '', 0.0, sample)
    caption = caption if isinstance(caption, SampledCaption) else None
    return {
        'id': sample.get('sample_id', ''), 'truth': _flag(truth), 'claim': _flag(claim),
        'wrong': None not in (truth, claim) and bool(truth) != claim,
        'abstained': caption is not None and bool(caption.abstained),
        'cut': _cut(sample, words), 'scores': _scores(sample), 'layers': pictures.layers,
        'pictures': _pictures(pictures, words),
        'comparable': len(pictures.frames) == 2 and all(pictures.frames),
        'prediction': said, 'references': sample.get('references') or [],
        'agreement': _agreement(caption, words), 'candidates': sample.get('nbest') or [],
        'trajectory': _trajectory(caption, words),
    }


def _flag(changed: bool | None) -> str | None:
    return None if changed is None else 'changed' if changed else 'unchanged'


def _predicted_flag(sample: dict, dataset: dict) -> bool | None:
    """Return whether the sentence claims a change, None where that cannot be told."""
    if sample.get('pred_change_flag') is not None:
        return bool(sample['pred_change_flag'])
    unchanged = {sentence.strip(' .。').lower() for sentence in
                 dataset.get('no_change_captions') or ()}
    if not unchanged or not sample.get('prediction'):
        return None
    return sample['prediction'].strip(' .。').lower() not in unchanged


def _cut(sample: dict, words: dict) -> str | None:
    """Return the mark of a sentence that reached the token limit, None of any other."""
    limit = sample.get('truncated')
    if not limit:
        return None
    return words['cut'] if limit is True else words['cut_at'].format(limit)


def _scores(sample: dict) -> dict[str, float]:
    """Return everything a sample can be sorted by."""
    found = dict(sample.get('scores') or {})
    if sample.get('score') is not None:
        found['model score'] = sample['score']
    if sample.get('drawn', 1) > 1:
        found['agreement'] = sample['agreement']
    return {name: float(value) for name, value in found.items()
            if value is not None and np.isfinite(value)}


def _pictures(pictures: Pictures, words: dict) -> list[dict]:
    count = len(pictures.frames)
    titles = ([words['single']] if count == 1 else
              [words['frames'][0], *(words['date'].format(i) for i in range(2, count)),
               words['frames'][1]])[:count]
    return [{'title': title, 'address': address, 'problem': problem} for title, address, problem
            in zip(titles, pictures.frames, pictures.problems, strict=True)]


def _agreement(caption: SampledCaption | None, words: dict) -> dict | None:
    """Return how much the sentences drawn agree, None where there was only one."""
    if caption is None or caption.drawn < 2:
        return None
    return {'title': words['agreement'].format(caption.drawn), 'share': caption.agreement}


def _trajectory(caption: SampledCaption | None, words: dict) -> dict | None:
    """Return a row for every change of the sentence, noisiest first, and what its marks mean."""
    if caption is None or not caption.trajectory:
        return None
    rows = [{'label': row.label, 'steps': row.steps, 'noise': row.noise, 'runs': row.runs,
             'glue': '' if any(has_cjk(run.text) for run in row.runs) else ' '}
            for row in denoising_rows(caption.trajectory, caption.text)]
    looks = ((False, False), (True, False), (True, True), (False, True))
    legend = [Run(kind, *look) for kind, look in zip(words['kinds'], looks, strict=True)]
    return {'steps': len(caption.trajectory), 'rows': rows, 'legend': legend}
