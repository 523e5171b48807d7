"""Caption scores of a test run by one of two protocols: ``'coco'`` and ``'clipcap_rsic'``.

``'coco'`` is coco-caption's arithmetic on words, with trivial baselines beside it and a few shares
that say what the captions tell of. Chinese is scored by words and, as a second report, by
characters.

``'clipcap_rsic'`` is what Song et al. computed (IEEE Access 13, 2025,
github.com/bgno1/clipcap_rsic), for comparison with their figures alone. Its BLEU counts the blanks
that jieba returns between English words and the final marks, which lifts it far above any other
(0.90 for 0.78); its "CIDEr" of Chinese is a cosine of character counts, here called
``char_cosine``. All of it stands under keys of its own, on the published scale. SPICE is left out.

Pure of MMEngine, so that ``CaptionMetric``, the predictions file and ``tools/scores.py`` share it.
"""
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rscc.evaluation.content_scores import content_scores
from rscc.evaluation.functional import baselines
from rscc.evaluation.functional.bootstrap import bootstrap_intervals
from rscc.evaluation.functional.captioning import CaptionCorpus, CiderD, coco_bleu
from rscc.evaluation.functional.clipcap_rsic import bleu_totals, character_cosine, corpus_bleu
from rscc.evaluation.java_tools import FORMS, JavaError, meteor_scores, ptb_tokenize
from rscc.evaluation.records import (
    PROTOCOLS,
    CaptionOptions,
    CaptionRecord,
    coco_characters,
    coco_words,
    describe_cuts,
)
from rscc.text.caption_files import holds_word
from rscc.text.normalisation import frequent_caption, warn
from rscc.text.word_tokenizer import SPECIAL_TOKENS
from rscc.utils import require
from rscc.utils.logging import warn_once

#: First part of the keys of protocol ``'clipcap_rsic'``.
PREFIX = 'clipcap_rsic'

_SPECIAL = re.compile('|'.join(map(re.escape, SPECIAL_TOKENS)))
_CHINESE = re.compile('[\u3400-\u9fff]')
_STOPS = ('.', '。')


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
    _tell_special_tokens('predictions', [record.prediction for record in records])
    _tell_special_tokens('references', [text for record in records for text in record.references])
    if cuts := describe_cuts(records):
        warn_once(cuts)
    scorers = dict(zip(PROTOCOLS, (_score_coco, _score_clipcap_rsic), strict=True))
    return scorers[options.protocol](records, options)


def _tell_odd_predictions(records: Sequence[CaptionRecord], language: str) -> None:
    """Warn of predictions that score 0 whatever the model: no word, or another language."""
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


def _tell_special_tokens(what: str, texts: Sequence[str]) -> None:
    """Warn of ``<start>``, ``<pad>`` and the like, which would be scored as words."""
    marked = [(found.group(), text) for text in texts if (found := _SPECIAL.search(text))]
    if marked:
        warn_once(f"{len(marked)} of {len(texts)} {what} hold special tokens of a tokenizer, "
                  f"'{marked[0][0]}' in '{marked[0][1]}' the first: they are scored as words. "
                  'Take them out: decode without special tokens')


def _score_coco(records: Sequence[CaptionRecord], options: CaptionOptions
                ) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Score by words, in Chinese also by characters, and add baselines, METEOR and content."""
    # The second board, Chinese by characters, has the same parts under keys of its own.
    boards = [_Board(records, options, coco_words(options.language))]
    if options.language == 'zh':
        boards.append(_Board(records, options, coco_characters, '_characters'))
    rows = [board.add('caption', board.predictions) for board in boards]
    if options.baselines:
        for board in boards:
            _add_baselines(board)
    if options.meteor:
        _add_meteor(boards)
    scores = {key: value for board in boards for key, value in board.scores.items()}
    return {**scores, **content_scores(records, boards[0].predictions, options)}, rows[0]


class _Board:
    """Scores of all parts of the data, for one way to split sentences into words.

    METEOR of everything that was added is computed together at the end, for Java starts slowly.
    """

    def __init__(self, records: Sequence[CaptionRecord], options: CaptionOptions,
                 split: Callable[[str], list[str]], suffix: str = '') -> None:
        self.options, self.records = options, records
        self.split, self.suffix = split, suffix
        self.predictions = [split(record.prediction) for record in records]
        self.references = [[split(text) for text in record.references] for record in records]
        self.corpus = CaptionCorpus(self.references)
        # A single image has no flag: its only part is the whole.
        flagged = [i for i, record in enumerate(records) if record.changed is not None]
        self.parts = {'all': list(range(len(records))),
                      'changed': [i for i in flagged if records[i].changed],
                      'unchanged': [i for i in flagged if not records[i].changed]}
        self.scores: dict[str, float] = {}
        self.meteor_tasks: dict[str, list] = {}

    def add(self, prefix: str, predictions: Sequence[Sequence[str]],
            parts: Mapping[str, str] | None = None) -> list[dict[str, float]]:
        """Score predictions on parts of the data.

        Args:
            prefix: First part of the keys: ``'caption'`` or ``'baseline'``.
            predictions: N sentences, each a list of words.
            parts: Part of the data -> its name in the keys; all parts by default.

        Returns:
            N rows, the scores of every sample.
        """
        rows: list[dict[str, float]] = []
        for part, key in (parts or {name: name for name in self.parts}).items():
            # Every part anew: CIDEr's document frequencies are those of the part.
            scores, part_rows = self.corpus.score(predictions, self.parts[part])
            if part == 'all':
                rows = part_rows
            name = f'{prefix}{self.suffix}/{key}'
            self.scores |= {f'{name}/{metric}': value for metric, value in scores.items()}
            if part_rows:
                self.meteor_tasks[name] = [(' '.join(predictions[i]), self.corpus.references(i))
                                           for i in self.parts[part]]
            # Baselines get no interval: they are the same for every model.
            if part_rows and prefix == 'caption' and self.options.bootstrap:
                self._add_intervals(name, predictions, self.parts[part], part_rows)
        return rows

    def _add_intervals(self, name: str, predictions: Sequence[Sequence[str]],
                       subset: Sequence[int], rows: Sequence[Mapping[str, float]]) -> None:
        # BLEU is resampled from its counts (10 a sample), the others are means over the samples.
        means = {metric: [row[metric] for row in rows] for metric in ('ROUGE_L', 'CIDEr')}
        found = bootstrap_intervals(self.corpus.bleu_totals(predictions, subset), coco_bleu, means,
                                    self.options.bootstrap, self.options.seed)
        self.scores |= _interval_keys(name, found)


def _add_baselines(board: _Board) -> None:
    """Score constant sentences, which need no image; of pairs, one for each true change flag."""
    options, parts = board.options, board.parts
    # Of single images, which have no flag, all count as changed: one sentence answers them all.
    pairs = bool(parts['changed'] or parts['unchanged'])
    changed = parts['changed'] if pairs else parts['all']
    flags = [i in set(changed) for i in range(len(board.records))]
    # Sentences that the user gives go first; else those that score best on these references.
    change = board.split(options.constant_caption or '')
    if changed and not change:
        change = baselines.constant_change_caption(board.references, board.corpus, changed)
    same = board.split(options.constant_no_change or '')
    if parts['unchanged'] and not same:
        same = baselines.constant_no_change_caption(board.references, parts['unchanged'])
    # Parts and keys: "true flag" on all and on changed samples, "no change" on all.
    blind = baselines.trivial_predictions(flags, change, same)
    wanted = {'all': 'all', 'changed': 'changed'} if parts['changed'] else {'all': 'all'}
    board.add('baseline', blind['true_flag'], wanted)
    if parts['unchanged']:
        board.add('baseline', blind['no_change'], {'all': 'no_change'})
    # The caption that a model without eyes learns from the training split.
    if not pairs:
        said = board.split(most_frequent(board.records, options))
        board.add('baseline', [said] * len(flags), {'all': 'frequent'})


def most_frequent(records: Sequence[CaptionRecord], options: CaptionOptions) -> str:
    """Return the most frequent caption: of the training split if known, else of the references."""
    return options.frequent_caption or frequent_caption(
        [text for record in records for text in record.references], options.language) or ''


def _add_meteor(boards: Sequence[_Board]) -> None:
    """Add METEOR and ``Sm`` to all boards, or say in one line why they are absent."""
    # The English resources (stems, synonyms, paraphrases) say nothing of Chinese: equal words only.
    chinese = boards[0].options.language == 'zh'
    tasks = {name: pairs for board in boards for name, pairs in board.meteor_tasks.items()}
    try:
        found = meteor_scores(tasks, FORMS[1:] if chinese else FORMS)
    except Exception as error:  # one score must not cost all others
        warn(f'METEOR and Sm are absent: {error}. All other scores are complete.')
        return
    for board in boards:
        for name in board.meteor_tasks:
            values = {'METEOR': found[name]['METEOR_id']} if chinese else found[name]
            board.scores |= {f'{name}/{metric}': value for metric, value in values.items()}
            four = ('Bleu_4', 'METEOR', 'ROUGE_L', 'CIDEr')
            board.scores[f'{name}/Sm'] = sum(board.scores[f'{name}/{m}'] for m in four) / 4


def _interval_keys(name: str, intervals: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Return the ends of intervals as flat scores, ``<name>/<metric>_low`` and ``..._high``."""
    return {f'{name}/{metric}_{end}': value for metric, ends in intervals.items()
            for end, value in zip(('low', 'high'), ends, strict=True)}


def _score_clipcap_rsic(records: Sequence[CaptionRecord], options: CaptionOptions
                        ) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Score as the published scorer does, on sentences as they are written (case, marks, blanks).

    Keys are ``clipcap_rsic/all/...`` and, of the most frequent caption, ``clipcap_rsic/frequent/``:
    ``Bleu_1`` to ``Bleu_4`` and ``METEOR`` (0 to 1) with ``CIDEr`` (0 to 10) in English and
    ``char_cosine`` (0 to 1) in Chinese. Rows hold ``Bleu_4`` and the last.
    """
    _check_final_stops(records)
    said = {'all': [record.prediction for record in records]}
    if options.baselines:
        said['frequent'] = [most_frequent(records, options)] * len(records)
    references = [list(record.references) for record in records]
    after_ptb = _after_ptb(said, references)
    # BLEU is of jieba's pieces; the other scores are of the PTB tokenizer's, which needs Java.
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
                scores |= _interval_keys(key, bootstrap_intervals(
                    totals, corpus_bleu, means, options.bootstrap, options.seed))
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
    # One call of the program for all sentences.
    flat = [text for texts in (*said.values(), *references) for text in texts]
    try:
        tokens = dict(zip(flat, ptb_tokenize(flat), strict=True))
    except (JavaError, ValueError) as error:
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
    # English: CIDEr-D over these references, each sentence by the PTB tokenizer's tokens.
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
    except Exception as error:  # one score must not cost all others
        warn(f'METEOR is absent: {error}. All other scores are complete.')
        return {}
    return {f'{PREFIX}/{name}/METEOR': values['METEOR'] / 100 for name, values in found.items()}


def _check_final_stops(records: Sequence[CaptionRecord]) -> None:
    """Say so where sentences are not as published: those end in a full stop, which BLEU counts."""
    # A final stop is a word to this BLEU: references and predictions must agree on it.
    texts = [text for record in records for text in record.references]
    stops = sum(text.rstrip().endswith(_STOPS) for text in texts)
    if 2 * stops < len(texts):
        warn(f"protocol 'clipcap_rsic': {len(texts) - stops} of {len(texts)} references have no "
             'final full stop, as after the normalisation of a dataset here. The published figures '
             'are of the sentences as written: score the predictions with tools/scores.py '
             '--references <annotation file> --final-stop')
        return
    without = sum(not record.prediction.rstrip().endswith(_STOPS) for record in records)
    if without:
        warn(f"protocol 'clipcap_rsic': {without} of {len(records)} predictions have no final full "
             'stop and the references have, which costs BLEU. tools/scores.py --final-stop adds '
             'it')


def final_stop(references: Sequence[str]) -> str:
    """Return the mark that most references end in: ``' .'``, ``'.'``, ``'。'`` or none."""
    endings = Counter(next((end for end in (' .', '.', '。') if text.rstrip().endswith(end)), '')
                      for text in references)
    return max(sorted(endings), key=endings.__getitem__) if endings else ''
