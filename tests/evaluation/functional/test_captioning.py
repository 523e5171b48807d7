"""BLEU, ROUGE-L and CIDEr-D against fixed outside values."""
import pytest

from rscc.evaluation.functional.captioning import CaptionCorpus, caption_scores

pytest.importorskip('pycocoevalcap')

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


def test_scores_equal_the_outside_reference_values():
    assert caption_scores(PREDICTIONS, REFERENCES) == near(EXPECTED)


def test_scores_equal_the_library_called_its_own_way(capsys):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
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
