import random

import pytest
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.cider.cider_scorer import precook

from rscc.evaluation.functional.cider import CiderD

WORDS = ['a', 'the', 'house', 'road', 'tree', 'is', 'are', 'built', 'removed', 'left', 'two']


def sentences(draw, count):
    return [' '.join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)]


@pytest.mark.parametrize('seed', range(4))
def test_it_equals_the_published_scorer(seed):
    draw = random.Random(seed)
    shared = sentences(draw, 5)
    references = {i: shared if i % 3 == 0 else sentences(draw, draw.randint(1, 5))
                  for i in range(20)}
    predictions = {i: sentences(draw, 1) if i % 4 else [references[i][0]] for i in references}
    predictions[1] = ['']
    _, expected = Cider().compute_score(references, predictions)
    cooked = {tuple(refs): [precook(text) for text in refs] for refs in references.values()}
    documents = [cooked[tuple(references[i])] for i in range(20)]
    scorer = CiderD(documents)
    found = [scorer.score(precook(predictions[i][0]), documents[i]) for i in range(20)]
    assert found == pytest.approx(list(expected), abs=1e-9)


def test_one_sample_scores_zero():
    document = [precook('a house is built')]
    assert CiderD([document]).score(precook('a house is built'), document) == 0
