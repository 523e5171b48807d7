"""All caption scores of one test run: all, changed, unchanged, floors, flag and content.

Pure of MMEngine, so that ``CaptionMetric``, the predictions file and ``tools/scores.py`` share it.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rscc.evaluation.functional import content, floors
from rscc.evaluation.functional.captioning import CaptionCorpus
from rscc.evaluation.meteor import MeteorError, meteor_scores
from rscc.text import normalise, split_words
from rscc.text.normalisation import check_language, warn
from rscc.utils import did_you_mean

PROTOCOLS = ('coco',)


@dataclass
class CaptionRecord:
    """One sample's captions.

    Attributes:
        sample_id: Name of the sample, unique in its dataset.
        prediction: The generated sentence.
        references: Sentences it is scored against, at least one.
        changed: Whether the sample changed; None for single images.
        predicted_flag: The model's own change flag, where it has one.
    """
    sample_id: str
    prediction: str
    references: Sequence[str]
    changed: bool | None = None
    predicted_flag: bool | None = None


@dataclass
class CaptionOptions:
    """How captions are scored.

    Attributes:
        protocol: ``'coco'``: coco-caption's arithmetic on words.
        language: ``'en'`` or ``'zh'``.
        no_change_captions: The dataset's stock sentences for unchanged pairs.
        meteor: Compute METEOR (and ``Sm``), which needs Java.
        baselines: Compute the floors.
        constant_caption: The floors' sentence for changed samples; chosen on the references by
            default.
        constant_no_change: The same for unchanged samples.

    Raises:
        ValueError: If the protocol or the language is unknown.
    """
    protocol: str = 'coco'
    language: str = 'en'
    no_change_captions: Sequence[str] = ()
    meteor: bool = True
    baselines: bool = True
    constant_caption: str | None = None
    constant_no_change: str | None = None

    def __post_init__(self) -> None:
        check_language(self.language)
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol '{self.protocol}': expected one of "
                             f"{', '.join(PROTOCOLS)}.{did_you_mean(self.protocol, PROTOCOLS)}")


def score_captions(records: Sequence[CaptionRecord], options: CaptionOptions | None = None
                   ) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Score the captions of a dataset.

    Args:
        records: One per sample.
        options: How to score.

    Returns:
        Flat scores, ``caption/{all,changed,unchanged}/...`` (x100), ``baseline/...`` (x100),
        ``caption/flag_accuracy`` and the other shares (0 to 1), without those that do not apply;
        and per sample ``Bleu_4``, ``ROUGE_L`` and ``CIDEr`` (x100, frequencies of all samples).

    Raises:
        ValueError: If there are no records or one has no reference.
    """
    options = options or CaptionOptions()
    if not records:
        raise ValueError('no captions to score')
    lacking = [record.sample_id for record in records if not record.references]
    if lacking:
        raise ValueError(f"sample '{lacking[0]}' has no reference caption ({len(lacking)} such "
                         'samples)')
    board = _Board(records, options)
    rows = board.add('caption', board.predictions)
    if options.baselines:
        _add_floors(board)
    if options.meteor:
        board.add_meteor()
    return {**board.scores, **_content_scores(records, board, options)}, rows


class _Board:
    """Collects scores under their keys; METEOR of all sets is computed together at the end."""

    def __init__(self, records: Sequence[CaptionRecord], options: CaptionOptions) -> None:
        self.options = options
        self.records = records
        language = options.language
        self.predictions = [split_words(record.prediction, language) for record in records]
        self.references = [[split_words(text, language) for text in record.references]
                           for record in records]
        self.corpus = CaptionCorpus(self.references)
        # A single image has no flag; its floor is one sentence for all.
        flagged = [i for i, record in enumerate(records) if record.changed is not None]
        self.parts = {'all': list(range(len(records))),
                      'changed': [i for i in flagged if records[i].changed],
                      'unchanged': [i for i in flagged if not records[i].changed]}
        self.scores: dict[str, float] = {}
        self._meteor_tasks: dict[str, list] = {}

    def add(self, prefix: str, predictions: Sequence[Sequence[str]],
            parts: Mapping[str, str] | None = None) -> list[dict[str, float]]:
        """Score predictions on parts of the data; return the rows of all samples."""
        rows: list[dict[str, float]] = []
        for part, key in (parts or {name: name for name in self.parts}).items():
            scores, part_rows = self.corpus.score(predictions, self.parts[part])
            if part == 'all':
                rows = part_rows
            name = f'{prefix}/{key}'
            self.scores |= {f'{name}/{metric}': value for metric, value in scores.items()}
            self._meteor_tasks[name] = [(' '.join(predictions[i]), self.corpus.references(i))
                                        for i in self.parts[part]]
        return rows

    def add_meteor(self) -> None:
        """Add METEOR in both forms and ``Sm``, or say in one line why they are absent."""
        try:
            found = meteor_scores(self._meteor_tasks)
        except MeteorError as error:
            warn(f'METEOR and Sm are absent: {error}. All other scores are complete.')
            return
        for name, values in found.items():
            self.scores |= {f'{name}/{metric}': value for metric, value in values.items()}
            four = ('Bleu_4', 'METEOR', 'ROUGE_L', 'CIDEr')
            self.scores[f'{name}/Sm'] = sum(self.scores[f'{name}/{m}'] for m in four) / 4


def _add_floors(board: _Board) -> None:
    """Score a true flag with one constant sentence, and "nothing changed" for every sample."""
    options, parts = board.options, board.parts
    language = options.language
    changed = parts['changed'] or ([] if parts['unchanged'] else parts['all'])
    flags = [i in set(changed) for i in range(len(board.records))]
    change = split_words(options.constant_caption or '', language)
    if changed and not change:
        change = floors.constant_change_caption(board.references, board.corpus, changed)
    same = split_words(options.constant_no_change or '', language)
    if parts['unchanged'] and not same:
        same = floors.constant_no_change_caption(board.references, parts['unchanged'])
    blind = floors.trivial_predictions(flags, change, same)
    wanted = {'all': 'all', 'changed': 'changed'} if parts['changed'] else {'all': 'all'}
    board.add('baseline', blind['true_flag'], wanted)
    if parts['unchanged']:
        board.add('baseline', blind['no_change'], {'all': 'no_change'})


def _content_scores(records: Sequence[CaptionRecord], board: _Board,
                    options: CaptionOptions) -> dict[str, float]:
    """Return flag accuracy and F1 (from the sentences), objects, directions and variety."""
    language = options.language
    said = [normalise(record.prediction, language) for record in records]
    references = [record.references for record in records]
    flagged = board.parts['changed'] + board.parts['unchanged']
    tells = [not content.says_no_change(said[i], options.no_change_captions, language)
             for i in flagged]
    scores = {
        **content.flag_scores(tells, [bool(records[i].changed) for i in flagged]),
        'object_F1': content.object_f1(said, references, language),
        'direction_accuracy': content.direction_accuracy(said, references, language),
        'distinct_1': content.distinct(board.predictions, 1),
        'distinct_2': content.distinct(board.predictions, 2),
    }
    return {f'caption/{name}': value for name, value in scores.items() if value is not None}
