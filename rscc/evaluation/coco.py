"""Protocol ``'coco'``: coco-caption's arithmetic on words, floors beside it.

Chinese is scored by words and, as a second report, by characters.
"""
from collections.abc import Callable, Mapping, Sequence

from rscc.evaluation.functional import content, floors
from rscc.evaluation.functional.bootstrap import bootstrap_intervals
from rscc.evaluation.functional.captioning import CaptionCorpus, coco_bleu
from rscc.evaluation.meteor import FORMS, MeteorError, meteor_scores
from rscc.evaluation.records import (
    CaptionOptions,
    CaptionRecord,
    coco_characters,
    coco_words,
)
from rscc.text import normalise
from rscc.text.frequency import frequent_caption
from rscc.text.normalisation import warn


def score_coco(records: Sequence[CaptionRecord], options: CaptionOptions
               ) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Score the captions of a dataset by protocol ``'coco'``.

    Args:
        records: One per sample, each with references.
        options: How to score.

    Returns:
        Flat scores and the rows of the samples, see
        :func:`rscc.evaluation.captions.score_captions`.
    """
    boards = [_Board(records, options, coco_words(options.language))]
    if options.language == 'zh':
        boards.append(_Board(records, options, coco_characters, '_characters'))
    rows = [board.add('caption', board.predictions) for board in boards]
    for board in boards:
        if options.baselines:
            _add_floors(board)
    if options.meteor:
        _add_meteor(boards)
    scores = {key: value for board in boards for key, value in board.scores.items()}
    return {**scores, **_content_scores(records, boards[0], options)}, rows[0]


class _Board:
    """Collects scores under their keys; METEOR of all sets is computed together at the end."""

    def __init__(self, records: Sequence[CaptionRecord], options: CaptionOptions,
                 split: Callable[[str], list[str]], suffix: str = '') -> None:
        self.options, self.records = options, records
        self.split, self.suffix = split, suffix
        self.predictions = [split(record.prediction) for record in records]
        self.references = [[split(text) for text in record.references] for record in records]
        self.corpus = CaptionCorpus(self.references)
        # A single image has no flag; its floor is one sentence for all.
        flagged = [i for i, record in enumerate(records) if record.changed is not None]
        self.parts = {'all': list(range(len(records))),
                      'changed': [i for i in flagged if records[i].changed],
                      'unchanged': [i for i in flagged if not records[i].changed]}
        self.scores: dict[str, float] = {}
        self.meteor_tasks: dict[str, list] = {}

    def add(self, prefix: str, predictions: Sequence[Sequence[str]],
            parts: Mapping[str, str] | None = None) -> list[dict[str, float]]:
        """Score predictions on parts of the data; return the rows of all samples."""
        rows: list[dict[str, float]] = []
        for part, key in (parts or {name: name for name in self.parts}).items():
            scores, part_rows = self.corpus.score(predictions, self.parts[part])
            if part == 'all':
                rows = part_rows
            name = f'{prefix}{self.suffix}/{key}'
            self.scores |= {f'{name}/{metric}': value for metric, value in scores.items()}
            if part_rows:
                self.meteor_tasks[name] = [(' '.join(predictions[i]), self.corpus.references(i))
                                           for i in self.parts[part]]
            if part_rows and prefix == 'caption' and self.options.bootstrap:
                self._add_intervals(name, predictions, self.parts[part], part_rows)
        return rows

    def _add_intervals(self, name: str, predictions: Sequence[Sequence[str]],
                       subset: Sequence[int], rows: Sequence[Mapping[str, float]]) -> None:
        means = {metric: [row[metric] for row in rows] for metric in ('ROUGE_L', 'CIDEr')}
        found = bootstrap_intervals(self.corpus.bleu_totals(predictions, subset), coco_bleu, means,
                                    self.options.bootstrap, self.options.seed)
        for metric, ends in found.items():
            for end, value in zip(('low', 'high'), ends, strict=True):
                self.scores[f'{name}/{metric}_{end}'] = value


def _add_meteor(boards: Sequence[_Board]) -> None:
    """Add METEOR and ``Sm`` to all boards, or say in one line why they are absent."""
    # The English resources (stems, synonyms, paraphrases) say nothing of Chinese: equal words only.
    chinese = boards[0].options.language == 'zh'
    tasks = {name: pairs for board in boards for name, pairs in board.meteor_tasks.items()}
    try:
        found = meteor_scores(tasks, FORMS[1:] if chinese else FORMS)
    except MeteorError as error:
        warn(f'METEOR and Sm are absent: {error}. All other scores are complete.')
        return
    for board in boards:
        for name in board.meteor_tasks:
            values = {'METEOR': found[name]['METEOR_id']} if chinese else found[name]
            board.scores |= {f'{name}/{metric}': value for metric, value in values.items()}
            four = ('Bleu_4', 'METEOR', 'ROUGE_L', 'CIDEr')
            board.scores[f'{name}/Sm'] = sum(board.scores[f'{name}/{m}'] for m in four) / 4


def _add_floors(board: _Board) -> None:
    """Score what is right without looking: constant sentences, the true flag known for pairs."""
    options, parts = board.options, board.parts
    pairs = bool(parts['changed'] or parts['unchanged'])
    changed = parts['changed'] if pairs else parts['all']
    flags = [i in set(changed) for i in range(len(board.records))]
    change = board.split(options.constant_caption or '')
    if changed and not change:
        change = floors.constant_change_caption(board.references, board.corpus, changed)
    same = board.split(options.constant_no_change or '')
    if parts['unchanged'] and not same:
        same = floors.constant_no_change_caption(board.references, parts['unchanged'])
    blind = floors.trivial_predictions(flags, change, same)
    wanted = {'all': 'all', 'changed': 'changed'} if parts['changed'] else {'all': 'all'}
    board.add('baseline', blind['true_flag'], wanted)
    if parts['unchanged']:
        board.add('baseline', blind['no_change'], {'all': 'no_change'})
    if not pairs:
        said = board.split(most_frequent(board.records, options))
        board.add('baseline', [said] * len(flags), {'all': 'frequent'})


def most_frequent(records: Sequence[CaptionRecord], options: CaptionOptions) -> str:
    """Return the most frequent caption: of the training split if known, else of the references."""
    return options.frequent_caption or frequent_caption(
        [text for record in records for text in record.references], options.language) or ''


def _content_scores(records: Sequence[CaptionRecord], board: _Board,
                    options: CaptionOptions) -> dict[str, float]:
    """Return flag accuracy and F1 (from the sentences), objects, directions, variety, agreement."""
    language = options.language
    said = [normalise(record.prediction, language) for record in records]
    references = [record.references for record in records]
    flagged = board.parts['changed'] + board.parts['unchanged']
    tells = [not content.says_no_change(said[i], options.no_change_captions, language)
             for i in flagged]
    scores = {
        **content.flag_scores(tells, [bool(records[i].changed) for i in flagged]),
        'object_F1': content.object_f1(said, references, language),
        # Nothing appears or is removed on a single image.
        'direction_accuracy': content.direction_accuracy(said, references, language)
        if flagged else None,
        'distinct_1': content.distinct(board.predictions, 1),
        'distinct_2': content.distinct(board.predictions, 2),
    }
    drawn = [record.sampled for record in records if record.sampled and record.sampled.drawn > 1]
    if drawn:
        scores |= {name: sum(float(getattr(caption, name)) for caption in drawn) / len(drawn)
                   for name in ('agreement', 'abstained')}
    return {f'caption/{name}': value for name, value in scores.items() if value is not None}
