import random

import pytest

from rscc.evaluation.functional.captioning import CaptionCorpus, CiderD

pytest.importorskip('pycocoevalcap')
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.cider.cider_scorer import precook

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


REFERENCES = [
    [text.split() for text in refs] for refs in (
        ['a house is built on the bareland', 'some houses are built'],
        ['a road appears in the middle', 'the trees are removed and a road is built'],
        ['there is no difference', 'the scene is the same as before'])]
PREDICTIONS = [text.split() for text in (
    'some houses are built on the bareland', 'a road is built', 'the scene is the same as before')]
# Computed once with pycocoevalcap 1.2's scorers on the sentences above.
EXPECTED = {'Bleu_1': 89.48393, 'Bleu_2': 89.48393, 'Bleu_3': 86.92583, 'Bleu_4': 82.22650,
            'ROUGE_L': 78.01207, 'CIDEr': 425.79818}
EXPECTED_OF_THE_FIRST = {'Bleu_1': 100, 'Bleu_2': 100, 'Bleu_3': 92.83178, 'Bleu_4': 79.52707,
                         'ROUGE_L': 76.48903, 'CIDEr': 0}  # idf of one document is log(1)


def near(scores):
    return pytest.approx(scores, abs=1e-3)


def caption_scores(predictions, references):
    return CaptionCorpus(references).score(predictions)[0]


def test_scores_equal_the_outside_reference_values():
    assert caption_scores(PREDICTIONS, REFERENCES) == near(EXPECTED)


def test_scores_equal_the_library_called_its_own_way(capsys):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge  # codespell:ignore
    # Repeated pairs, which are computed once here, and an empty caption.
    predictions = PREDICTIONS * 2 + [[]]
    references = REFERENCES * 2 + [REFERENCES[0]]
    scores, rows = CaptionCorpus(references).score(predictions)
    assert capsys.readouterr().out == ''
    gts = {i: [' '.join(words) for words in refs] for i, refs in enumerate(references)}
    res = {i: [' '.join(words)] for i, words in enumerate(predictions)}
    bleu, bleus = Bleu(4).compute_score(gts, res, verbose=0)
    cider, ciders = Cider().compute_score(gts, res)
    rouge_l, rouges = Rouge().compute_score(gts, res)  # codespell:ignore
    assert [scores[f'Bleu_{n}'] for n in (1, 2, 3, 4)] == near([100 * b for b in bleu])
    assert (scores['CIDEr'], scores['ROUGE_L']) == near((100 * cider, 100 * rouge_l))
    for i, row in enumerate(rows):
        assert row == near({'Bleu_4': 100 * bleus[3][i], 'ROUGE_L': 100 * rouges[i],
                            'CIDEr': 100 * ciders[i]})


def test_one_image_alone_has_cider_zero():
    assert caption_scores(PREDICTIONS[:1], REFERENCES[:1]) == near(EXPECTED_OF_THE_FIRST)


def test_an_empty_caption_scores_zero():
    scores = caption_scores([[], PREDICTIONS[1]], REFERENCES[:2])
    assert scores['ROUGE_L'] == pytest.approx(
        caption_scores(PREDICTIONS[1:2], REFERENCES[1:2])['ROUGE_L'] / 2)
    assert caption_scores([[]], REFERENCES[:1])['Bleu_4'] == 0


def test_a_subset_scores_as_if_it_were_alone():
    corpus = CaptionCorpus(REFERENCES)
    alone = caption_scores(PREDICTIONS[:2], REFERENCES[:2])
    assert corpus.score(PREDICTIONS, [0, 1])[0] == near(alone)
    assert corpus.score(PREDICTIONS, []) == ({}, [])


def test_the_constant_sentence_has_the_corpus_bleu():
    corpus = CaptionCorpus(REFERENCES)
    sentence = ['a', 'road', 'is', 'built', 'on', 'the', 'bareland']
    assert corpus.constant_bleu(sentence, [0, 1]) == near(
        corpus.score([sentence] * 3, [0, 1])[0]['Bleu_4'])


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match='2 predictions for 3 samples'):
        caption_scores(PREDICTIONS[:2], REFERENCES)
    with pytest.raises(ValueError, match=r'sample 1 has no reference caption \(1 such samples\)'):
        CaptionCorpus([REFERENCES[0], []])
