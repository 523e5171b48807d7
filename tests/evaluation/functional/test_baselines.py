"""Trivial baselines; published figures are compared in parity/test_kd_rscc_data.py."""
import pytest

from rscc.evaluation.functional import baselines
from rscc.evaluation.functional.captioning import CaptionCorpus

pytest.importorskip('pycocoevalcap')
SAME = [['the', 'scene', 'is', 'the', 'same', 'as', 'before'], ['no', 'change']]
REFERENCES = [[['a', 'house', 'is', 'built'], ['a', 'road']],
              [['a', 'house', 'is', 'built'], ['one', 'house', 'is', 'built']], SAME]


def test_the_constant_sentences_are_the_best_of_their_kind():
    corpus = CaptionCorpus(REFERENCES)
    assert baselines.constant_change_caption(REFERENCES, corpus, [0, 1]) == REFERENCES[0][0]
    assert baselines.constant_no_change_caption(REFERENCES, [2]) == SAME[0]


def test_blind_models_answer_by_flag_or_not_at_all():
    blind = baselines.trivial_predictions([True, False], ['a', 'house'], SAME[1])
    assert blind == {'true_flag': [['a', 'house'], SAME[1]], 'no_change': [SAME[1], SAME[1]]}
