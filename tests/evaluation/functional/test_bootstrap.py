"""Intervals: their draws, their width, their agreement with a plain loop."""
import numpy as np
import pytest

from rscc.evaluation.functional.bootstrap import bootstrap_intervals
from rscc.evaluation.functional.captioning import CaptionCorpus, coco_bleu
from rscc.evaluation.functional.clipcap_rsic import bleu_totals, corpus_bleu

SAID = [f'a {kind} house near {n} roads'.split()
        for n in range(4) for kind in ('big', 'red', 'old')]
REFS = [[f'a {kind} house by {n} roads'.split(), f'the house near {n} old roads'.split()]
        for n in range(4) for kind in ('big', 'new', 'old')]


def test_they_are_those_of_scoring_every_resample_anew():
    pytest.importorskip('pycocoevalcap')
    corpus = CaptionCorpus(REFS)
    rows = corpus.score(SAID)[1]
    rouge_l = [row['ROUGE_L'] for row in rows]
    found = bootstrap_intervals(corpus.bleu_totals(SAID), coco_bleu, {'ROUGE_L': rouge_l}, 100, 5)
    draws = np.random.default_rng(5).multinomial(len(SAID), np.full(len(SAID), 1 / len(SAID)), 100)
    anew = []
    for times in draws:
        chosen = np.repeat(np.arange(len(SAID)), times)
        part = CaptionCorpus([REFS[i] for i in chosen]).score([SAID[i] for i in chosen])[0]
        anew.append([part['Bleu_1'], part['Bleu_4'], part['ROUGE_L']])
    ends = np.quantile(anew, [0.025, 0.975], axis=0).T
    assert [found[name] for name in ('Bleu_1', 'Bleu_4', 'ROUGE_L')] == [
        pytest.approx(end) for end in ends]


def test_totals_of_all_images_are_the_corpus_scores():
    pytest.importorskip('pycocoevalcap')
    corpus = CaptionCorpus(REFS)
    scores, _ = corpus.score(SAID)
    assert coco_bleu(corpus.bleu_totals(SAID).sum(0)) == pytest.approx(
        [scores[f'Bleu_{n}'] for n in (1, 2, 3, 4)], rel=1e-12)
    subset, _ = corpus.score(SAID, [0, 4])
    assert coco_bleu(corpus.bleu_totals(SAID, [0, 4]).sum(0))[3] == pytest.approx(subset['Bleu_4'])


def test_more_images_make_them_narrower_and_equal_ones_close_them():
    totals = bleu_totals(SAID, REFS)

    def width(times):
        low, high = bootstrap_intervals(np.tile(totals, (times, 1)), corpus_bleu, {}, 300)['Bleu_1']
        return high - low

    assert 2.5 < width(1) / width(16) < 6  # a fourth, by the square root
    same = bootstrap_intervals(np.tile(totals[:1], (5, 1)), corpus_bleu, {'x': [2.0] * 5}, 100)
    assert same['x'] == pytest.approx((2, 2)) and same['Bleu_2'][0] == same['Bleu_2'][1]


def test_the_seed_decides_and_blocks_do_not(monkeypatch):
    from rscc.evaluation.functional import bootstrap as module
    totals, means = bleu_totals(SAID, REFS), {'x': np.arange(12.0)}
    one = bootstrap_intervals(totals, corpus_bleu, means, 150, seed=1)
    assert one == bootstrap_intervals(totals, corpus_bleu, means, 150, seed=1)
    assert one != bootstrap_intervals(totals, corpus_bleu, means, 150, seed=2)
    monkeypatch.setattr(module, '_BLOCK', 12 * 40)
    blocks = bootstrap_intervals(totals, corpus_bleu, means, 150, seed=1)
    assert {name: pytest.approx(ends) for name, ends in one.items()} == blocks


def test_no_images_and_too_few_resamples_are_refused():
    with pytest.raises(ValueError, match='needs images and resamples: got 0 images, 100'):
        bootstrap_intervals(np.zeros((0, 10)), corpus_bleu, {}, 100)
    with pytest.raises(ValueError, match='bootstrap=99 gives no 95 % interval'):
        bootstrap_intervals(np.ones((2, 10)), corpus_bleu, {}, 99)
