"""Protocol ``'clipcap_rsic'``: the figures the authors of CLIP-GPT computed, for comparison alone.

Song et al., IEEE Access 13, 2025 (github.com/bgno1/clipcap_rsic). BLEU counts the blanks that jieba
returns between English words and the final marks, which lifts it far above any other (0.90 for
0.78); the "CIDEr" of Chinese is a cosine of character counts, here called ``char_cosine``. All of
it stands under keys of its own, on the published scale. SPICE is left out.
"""
import logging
from collections import Counter
from collections.abc import Sequence

from rscc.evaluation.coco import most_frequent
from rscc.evaluation.functional.bootstrap import bootstrap_intervals
from rscc.evaluation.functional.cider import CiderD
from rscc.evaluation.functional.clipcap_rsic import bleu_totals, character_cosine, corpus_bleu
from rscc.evaluation.java import JavaError
from rscc.evaluation.meteor import meteor_scores
from rscc.evaluation.ptb import ptb_tokenize
from rscc.evaluation.records import CaptionOptions, CaptionRecord
from rscc.text.normalisation import warn
from rscc.utils import require

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
