"""Tables of scores for the terminal."""
from collections.abc import Mapping

from rscc.text.quantities import defined_scores
from rscc.utils import counted
from rscc.utils.terminal import cells, padded

_COLUMNS = {'Bleu_1': 'B1', 'Bleu_2': 'B2', 'Bleu_3': 'B3', 'Bleu_4': 'B4', 'METEOR': 'M',
            'METEOR_id': 'M_id', 'ROUGE_L': 'R', 'CIDEr': 'C', 'Sm': 'Sm'}
_MODEL = {'all': 'all', 'changed': 'changed', 'unchanged': 'unchanged'}
_PAIR_BASELINES = {'all': 'baseline: true flag + one sentence',
                   'changed': 'baseline on changed: one sentence',
                   'no_change': 'baseline: always "no change"'}
_IMAGE_BASELINES = {'all': 'baseline: best single sentence',
                    'frequent': 'baseline: most frequent caption'}
# Title of a block, its columns, and the groups of keys that are its rows: model, then baselines.
_BLOCKS = (('captions (x100)', 'caption', 'baseline'),
           ('by characters (x100)', 'caption_characters', 'baseline_characters'))
_PUBLISHED = {**_COLUMNS, 'char_cosine': 'cos'}
_SHARES = {
    'flag_accuracy': 'flag accuracy', 'flag_F1': 'flag F1', 'object_F1': 'object F1',
    'direction_accuracy': 'appear/remove', 'hallucinated': 'hallucinated', 'missed': 'missed',
    'hallucinated_mask': 'hallucinated (mask)', 'missed_mask': 'missed (mask)',
    'count_error': 'count error (things)', 'place_accuracy': 'place',
    'place_accuracy_mask': 'place (mask)',
    'distinct_1': 'distinct-1', 'distinct_2': 'distinct-2',
    'agreement': 'agreement', 'abstained': 'abstained', 'truncated': 'cut at limit',
}
_REVERSAL = {
    'reversible': 'reversible', 'direction': 'direction mirrored', 'object': 'object kept',
    'count': 'count kept', 'no_change_twice': '"no change" twice', 'mask_IoU': 'IoU of the maps',
    'classes': 'classes exchanged', 'pairs': 'changed pairs',
}
_CHANGE = ('F1_changed', 'IoU_changed', 'precision_changed', 'recall_changed', 'mF1', 'mIoU', 'OA',
           'Kappa')
_SEMANTIC = {f'{score}_{counting}': f'{score} {label}' for score in ('SeK', 'F_scd')
             for counting, label in (('pooled', 'pooled'), ('from_to', 'from-to'))}
_SEMANTIC_BASELINES = {
    'semantic/repeated_first': 'baseline: first date repeated',
    'semantic/true_first': 'the same of the true maps'}
_SEMANTIC_MORE = {name: name for name in (
    'Score_pooled', 'Score_from_to', 'mIoU', 'IoU_changed', 'IoU_unchanged', 'F1_changed',
    'precision_changed', 'recall_changed', 'OA_pooled', 'OA_from_to', 'SC_precision_pooled',
    'SC_precision_from_to', 'SC_recall_pooled', 'SC_recall_from_to')}
_TITLES = {'semantic': 'semantic change: where it changed, right classes there (0 to 1)',
           'caption': 'what captions say (0 to 1)', 'change': 'change map (0 to 1)',
           'reversal': 'answered again with the dates exchanged (0 to 1)',
           'doubt': 'doubt (0 to 1; AURC: area under risk over coverage, less is better)'}
_DOUBT = {'mean': 'mean', 'not_sure': 'not sure', 'errors': 'errors', 'AURC': 'AURC',
          'AURC_score': 'AURC by score'}
_ALIKE = ('no C, and no mean with it, where all references are alike: it weighs words by how rare '
          'they are')
_WIDTH = 88


def format_metadata(metadata: Mapping[str, object]) -> str:
    """Lay out the metadata of scores: their data, protocol and tokenizer.

    Args:
        metadata: What :func:`rscc.evaluation.records.scoring_metadata` returned, and if known
            ``samples`` (how many) and ``references`` (the file they are from).

    Returns:
        A line of the data, one of the scoring, and one each of the intervals, the most frequent
        caption, the captions cut at the limit of tokens, and a doubt that is not calibrated, where
        there are any.
    """
    data = [counted(metadata['samples'], 'sample') if 'samples' in metadata else '',
            f'split {metadata.get("split") or "unknown"}', f'language {metadata["language"]}',
            f'references {metadata["references"]}' if 'references' in metadata else '']
    scoring = [f'protocol {metadata["protocol"]}', f'tokenizer: {metadata["tokenizer"]}']
    more = [f'{label}: {metadata[key]}' for key, label in (
        ('intervals', 'intervals'), ('most_frequent_of', 'most frequent caption of'))
        if key in metadata]
    more += [metadata[key] for key in ('truncated', 'doubt') if key in metadata]
    lines = [', '.join(filter(None, data)), ', '.join(scoring), *more]
    return '\n'.join(lines)


def format_table(metrics: Mapping[str, float]) -> str:
    """Lay out flat scores for reading.

    Args:
        metrics: Keys as ``CaptionMetric``, ``ChangeMetric`` and ``FromToMetric`` name them; parts
            may be absent and unknown keys are listed at the end.

    Returns:
        Lines without a final line break; ``'no scores'`` where there are none.
    """
    # Every block takes its scores out of `left`; what nobody took is listed at the end.
    known = {key: float(value) for key, value in metrics.items()
             if isinstance(value, int | float) or hasattr(value, '__float__')}
    left = defined_scores(known)
    alike = '' if len(left) == len(known) else _ALIKE
    # Pairs are told by their parts; single images have other baselines.
    pairs = any(f'caption/{part}/Bleu_1' in left for part in ('changed', 'unchanged'))
    pairs = pairs or 'baseline/no_change/Bleu_1' in left
    baselines = _PAIR_BASELINES if pairs else _IMAGE_BASELINES
    blocks = [_caption_block(left, title, {f'{model}/{key}': label for key, label in
                                           _MODEL.items()},
                             {f'{baseline}/{key}': label for key, label in baselines.items()})
              for title, model, baseline in _BLOCKS]
    blocks += [alike, _published_block(left), _pairs_block(left, 'caption', _SHARES),
               _pairs_block(left, 'reversal', _REVERSAL),
               _pairs_block(left, 'change', {name: name for name in _CHANGE}),
               _classes_block(left),
               _caption_block(left, 'what became what (0 to 1)', {'semantic': 'model'},
                              _SEMANTIC_BASELINES, _SEMANTIC, 4, 15),
               _pairs_block(left, 'semantic', _SEMANTIC_MORE), _transitions_block(left),
               _pairs_block(left, 'doubt', _DOUBT), _flow('other', left)]
    return '\n\n'.join(block for block in blocks if block) or 'no scores'


def _published_block(left: dict[str, float]) -> str:
    """Return the table of protocol clipcap_rsic, kept apart from scores on other scales."""
    rows = {'clipcap_rsic/all': 'all'}
    baselines = {'clipcap_rsic/frequent': _IMAGE_BASELINES['frequent']}
    # CIDEr, which English has, is ten times what the others can be.
    scale = '0 to 1, C to 10' if 'clipcap_rsic/all/CIDEr' in left else '0 to 1'
    return _caption_block(left, f'as clipcap_rsic ({scale})', rows, baselines, _PUBLISHED, 4)


def _caption_block(left: dict[str, float], title: str, model: Mapping[str, str],
                   baselines: Mapping[str, str], names: Mapping[str, str] = _COLUMNS,
                   digits: int = 2, width: int = 8) -> str:
    """Take rows (key -> label) of scores out of ``left`` and return them as a table."""
    above, below = _rows(left, model, names), _rows(left, baselines, names)
    # Baselines stand below a blank line.
    rows = [*above, ('', {}), *below] if below else above
    columns = [name for name in names if any(name in values for _, values in rows)]
    if not columns:
        return ''
    first = max(cells(title), *(cells(label) for label, _ in rows))
    head = padded(title, first) + ''.join(f'{names[name]:>{width}}' for name in columns)
    lines = [head, '-' * cells(head)]
    for label, values in rows:
        figures = (f'{values[name]:{width}.{digits}f}' if name in values else f'{"-":>{width}}'
                 for name in columns)
        lines.append(padded(label, first) + ''.join(figures) if label else '')
    return '\n'.join(lines)


def _rows(left: dict[str, float], keys: Mapping[str, str],
          names: Mapping[str, str]) -> list[tuple[str, dict[str, float]]]:
    """Take the rows that are there out of ``left``, each with the ends of its interval below."""
    rows = []
    for key, label in keys.items():
        for text, suffix in ((label, ''), ('   95 % from', '_low'), ('   95 % to', '_high')):
            values = {name: left.pop(f'{key}/{name}{suffix}') for name in names
                      if f'{key}/{name}{suffix}' in left}
            rows += [(text, values)] if values else []
    return rows


def _pairs_block(left: dict[str, float], group: str, names: Mapping[str, str]) -> str:
    found = {label: left.pop(f'{group}/{name}') for name, label in names.items()
             if f'{group}/{name}' in left}
    return _flow(_TITLES[group], found)


def _classes_block(left: dict[str, float]) -> str:
    found = {key.removeprefix('change/IoU_'): left.pop(key) for key in list(left)
             if key.startswith('change/IoU_')}
    return _flow('IoU by class (0 to 1)', found)


def _transitions_block(left: dict[str, float]) -> str:
    found = {key.removeprefix('transition/').replace('_to_', ' -> ', 1): left.pop(key)
             for key in list(left) if key.startswith('transition/')}
    return _flow('F1 of transitions in the reference (0 to 1)', found)


def _flow(title: str, values: Mapping[str, float]) -> str:
    """Return a title and ``name value`` cells, as many a line as fit."""
    if not values:
        return ''
    width = max(map(cells, values)) + 1
    pairs = [f'{padded(name, width)}{value:8.4f}' for name, value in values.items()]
    # Pairs of one width, three blanks between them.
    a_line = max(1, (_WIDTH + 3) // (cells(pairs[0]) + 3))
    lines = ['   '.join(pairs[i:i + a_line]) for i in range(0, len(pairs), a_line)]
    return '\n'.join([title, '-' * max(map(cells, lines)), *lines])
