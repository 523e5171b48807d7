"""Caption scores of a test run by one of two protocols: 'coco' and 'clipcap_rsic'.

Chinese is scored by words and, as a second report, by characters.

Song et al., IEEE Access 13, 2025 (github.com/bgno1/clipcap_rsic). BLEU counts the blanks that jieba
returns between English words and the final marks, which lifts it far above any other (0.90 for
0.78); the "CIDEr" of Chinese is a cosine of character counts, here called ``char_cosine``. All of
it stands under keys of its own, on the published scale. SPICE is left out.

Pure of MMEngine, so that ``CaptionMetric``, the predictions file and ``tools/scores.py`` share it.
"""
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rscc.evaluation.functional import baselines, content
from rscc.evaluation.functional.bootstrap import bootstrap_intervals
from rscc.evaluation.functional.captioning import CaptionCorpus, CiderD, coco_bleu
from rscc.evaluation.functional.clipcap_rsic import bleu_totals, character_cosine, corpus_bleu
from rscc.evaluation.java_tools import FORMS, JavaError, MeteorError, meteor_scores, ptb_tokenize
from rscc.evaluation.records import (
    PROTOCOLS,
    CaptionOptions,
    CaptionRecord,
    coco_characters,
    coco_words,
    scoring_facts,
)
from rscc.text import normalise
from rscc.text.caption_files import holds_word
from rscc.text.normalisation import frequent_caption, warn
from rscc.utils import require
from rscc.utils.logging import warn_once


def score_coco(records: Sequence[CaptionRecord], options: CaptionOptions
               ) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Score the captions of a dataset by protocol ``'coco'``.

    Args:
        records: One per sample, each with references.
        options: How to score.

    Returns:
        Flat scores and the rows of the samples, see
        :func:`rscc.evaluation.protocols.score_captions`.
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
        change = baselines.constant_change_caption(board.references, board.corpus, changed)
    same = board.split(options.constant_no_change or '')
    if parts['unchanged'] and not same:
        same = baselines.constant_no_change_caption(board.references, parts['unchanged'])
    blind = baselines.trivial_predictions(flags, change, same)
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


PREFIX = 'clipcap_rsic'


def score_clipcap_rsic(records: Sequence[CaptionRecord], options: CaptionOptions
                       ) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Score captions as the published scorer does, on sentences as they are written.

    Args:
        records: One per image; references as in the annotation file (case, marks, blanks).
        options: How to score. ``baselines`` adds the most frequent caption, ``meteor=False`` leaves
            METEOR out.

    Returns:
        ``clipcap_rsic/all/...`` and ``clipcap_rsic/frequent/...``: ``Bleu_1`` to ``Bleu_4`` and
        ``METEOR`` (0 to 1) with ``CIDEr`` (0 to 10) in English and ``char_cosine`` (0 to 1) in
        Chinese; and per sample ``Bleu_4`` and the last.

    Raises:
        ImportError: If jieba or pycocoevalcap is not installed.
    """
    _check_final_stops(records)
    said = {'all': [record.prediction for record in records]}
    if options.baselines:
        said['frequent'] = [most_frequent(records, options)] * len(records)
    references = [list(record.references) for record in records]
    after_ptb = _after_ptb(said, references)
    scores: dict[str, float] = {}
    rows: list[dict[str, float]] = []
    for name, sentences in said.items():
        totals = bleu_totals(_jieba(sentences), [_jieba(texts) for texts in references])
        means = _means(*after_ptb[name], options.language) if after_ptb else {}
        key = f'{PREFIX}/{name}'
        scores |= {f'{key}/Bleu_{n}': bleu for n, bleu in enumerate(corpus_bleu(totals.sum(0)), 1)}
        scores |= {f'{key}/{metric}': sum(each) / len(each) for metric, each in means.items()}
        if name == 'all':
            rows = [{'Bleu_4': corpus_bleu(row)[3], **{m: each[i] for m, each in means.items()}}
                    for i, row in enumerate(totals)]
            if options.bootstrap:
                scores |= {f'{key}/{metric}_{end}': value for metric, ends in bootstrap_intervals(
                    totals, corpus_bleu, means, options.bootstrap, options.seed).items()
                    for end, value in zip(('low', 'high'), ends, strict=True)}
    if options.meteor and after_ptb:
        scores |= _meteor(after_ptb)
    return scores, rows


def _jieba(sentences: Sequence[str]) -> list[list[str]]:
    """Cut into words, blanks and marks, as published for both languages."""
    jieba = require('jieba', "BLEU of protocol 'clipcap_rsic'")
    jieba.setLogLevel(logging.WARNING)  # no messages about its dictionary
    return [list(jieba.cut(sentence)) for sentence in sentences]


def _after_ptb(said: dict[str, list[str]], references: Sequence[Sequence[str]]
               ) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Return predictions and references after the PTB tokenizer; nothing without Java."""
    flat = [text for texts in (*said.values(), *references) for text in texts]
    try:
        tokens = dict(zip(flat, ptb_tokenize(flat), strict=True))
    except JavaError as error:
        warn(f"Only BLEU of protocol 'clipcap_rsic' is computed: {error}. Its other scores need "
             'the PTB tokenizer, which is in Java.')
        return {}
    refs = [[tokens[text] for text in texts] for texts in references]
    return {name: ([tokens[text] for text in texts], refs) for name, texts in said.items()}


def _means(said: Sequence[str], references: Sequence[Sequence[str]],
           language: str) -> dict[str, list[float]]:
    """Return the scores that are means over the images, per image."""
    if language == 'zh':
        return {'char_cosine': [character_cosine(text, refs)
                                for text, refs in zip(said, references, strict=True)]}
    cook = require('pycocoevalcap.cider.cider_scorer', 'CIDEr').precook
    documents = [[cook(text) for text in refs] for refs in references]
    cider = CiderD(documents)
    return {'CIDEr': [cider.score(cook(text), document)
                      for text, document in zip(said, documents, strict=True)]}


def _meteor(after_ptb: dict[str, tuple[list[str], list[list[str]]]]) -> dict[str, float]:
    tasks = {name: [(text, tuple(refs)) for text, refs in zip(*both, strict=True)]
             for name, both in after_ptb.items()}
    try:
        found = meteor_scores(tasks, ('METEOR',))
    except JavaError as error:
        warn(f'METEOR is absent: {error}. All other scores are complete.')
        return {}
    return {f'{PREFIX}/{name}/METEOR': values['METEOR'] / 100 for name, values in found.items()}


def _check_final_stops(records: Sequence[CaptionRecord]) -> None:
    """Say so where sentences are not as published: those end in a full stop, which BLEU counts."""
    texts = [text for record in records for text in record.references]
    stops = sum(text.rstrip().endswith(('.', '。')) for text in texts)
    if 2 * stops < len(texts):
        warn(f"protocol 'clipcap_rsic': {len(texts) - stops} of {len(texts)} references have no "
             'final full stop, as after the normalisation of a dataset here. The published figures '
             'are of the sentences as written: score the predictions with tools/scores.py '
             '--references <annotation file> --final-stop')
        return
    without = sum(not record.prediction.rstrip().endswith(('.', '。')) for record in records)
    if without:
        warn(f"protocol 'clipcap_rsic': {without} of {len(records)} predictions have no final full "
             'stop and the references have, which costs BLEU. tools/scores.py --final-stop adds '
             'it')


def final_stop(references: Sequence[str]) -> str:
    """Return how most references end: ``' .'``, ``'.'``, ``'。'`` or not at all."""
    endings = Counter(next((end for end in (' .', '.', '。') if text.rstrip().endswith(end)), '')
                      for text in references)
    return max(sorted(endings), key=endings.__getitem__) if endings else ''


__all__ = ['PROTOCOLS', 'CaptionOptions', 'CaptionRecord', 'score_captions', 'scoring_facts']

_CHINESE = re.compile('[\u3400-\u9fff]')
_SCORERS = dict(zip(PROTOCOLS, (score_coco, score_clipcap_rsic), strict=True))


def score_captions(records: Sequence[CaptionRecord], options: CaptionOptions | None = None
                   ) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Score the captions of a dataset.

    Args:
        records: One per sample.
        options: How to score.

    Returns:
        Flat scores, without those that do not apply. Protocol ``'coco'``:
        ``caption/{all,changed,unchanged}/...`` (x100; in Chinese by words, and by characters under
        ``caption_characters/...``), ``baseline/...`` (x100), ``caption/flag_accuracy`` and the
        other shares (0 to 1). Protocol ``'clipcap_rsic'``: ``clipcap_rsic/{all,frequent}/...``, on
        the published scale. With ``bootstrap``, ``..._low`` and ``..._high`` of each score but
        METEOR and ``Sm``. And per sample ``Bleu_4``, ``ROUGE_L`` and ``CIDEr`` (frequencies of all
        samples), or what the protocol has of them.

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
    _tell_odd_predictions(records, options.language)
    return _SCORERS[options.protocol](records, options)


def _tell_odd_predictions(records: Sequence[CaptionRecord], language: str) -> None:
    """Say once what scores 0 however good the model: no words, or those of another language."""
    said = [record for record in records if holds_word(record.prediction)]
    if len(said) < len(records):
        first = next(record for record in records if not holds_word(record.prediction))
        warn_once(f'{len(records) - len(said)} of {len(records)} predictions hold no word and '
                  f"score 0; the first: {first.prediction!r} for '{first.sample_id}'")
    chinese = sum(bool(_CHINESE.search(record.prediction)) for record in said)
    if said and chinese == (len(said) if language == 'en' else 0):
        meant = 'zh' if language == 'en' else 'en'
        warn_once(f"language '{language}', but {'all' if chinese else 'none'} of the {len(said)} "
                  f"predictions are written in Chinese, '{said[0].prediction}' the first: is the "
                  f"language '{meant}' (--language {meant}) meant?")
