"""The floors, and the published figures of the real test split."""
import gzip
import json

import pytest

from rscc.evaluation.functional import floors
from rscc.evaluation.functional.captioning import CaptionCorpus

pytest.importorskip('pycocoevalcap')
SAME = [['the', 'scene', 'is', 'the', 'same', 'as', 'before'], ['no', 'change']]
REFERENCES = [[['a', 'house', 'is', 'built'], ['a', 'road']],
              [['a', 'house', 'is', 'built'], ['one', 'house', 'is', 'built']], SAME]


def test_the_constant_sentences_are_the_best_of_their_kind():
    corpus = CaptionCorpus(REFERENCES)
    assert floors.constant_change_caption(REFERENCES, corpus, [0, 1]) == REFERENCES[0][0]
    assert floors.constant_no_change_caption(REFERENCES, [2]) == SAME[0]


def test_blind_models_answer_by_flag_or_not_at_all():
    blind = floors.trivial_predictions([True, False], ['a', 'house'], SAME[1])
    assert blind == {'true_flag': [['a', 'house'], SAME[1]], 'no_change': [SAME[1], SAME[1]]}


def test_leaving_one_out_needs_two_captions():
    predictions, left = floors.human_leave_one_out(REFERENCES, [True, True, False])
    assert predictions[0] == ['a', 'house', 'is', 'built'] and left[0] == [['a', 'road']]
    assert left[2] == SAME
    with pytest.raises(ValueError, match='leaving one caption out needs two: sample 0 has 1'):
        floors.human_leave_one_out([[['a']]], [True])


@pytest.fixture(scope='module')
def test_split(samples):
    folder = samples / 'levir_cc_captions'
    if not (folder / 'LevirCCcaptions_rebuilt.json.gz').is_file():
        pytest.skip(f'no LEVIR-CC captions in {folder}')
    data = json.loads(gzip.decompress(
        (folder / 'LevirCCcaptions_rebuilt.json.gz').read_bytes()))
    images = sorted((image for image in data['images'] if image['split'] == 'test'),
                    key=lambda image: image['filename'])
    references = [[s['tokens'] for s in image['sentences']] for image in images]
    flags = [bool(image['changeflag']) for image in images]
    said = (folder / 'predictions_test_promptcc-A2B.txt').read_text().splitlines()
    return references, flags, [line.split() for line in said], CaptionCorpus(references)


def four(scores):
    return [scores[name] for name in ('Bleu_1', 'Bleu_4', 'ROUGE_L', 'CIDEr')]


def test_stored_predictions_have_their_published_bleu(test_split):
    _, _, predictions, corpus = test_split
    scores, _ = corpus.score(predictions)
    assert [scores[f'Bleu_{n}'] for n in (1, 2, 3, 4)] == pytest.approx(
        [87.16, 79.39, 72.16, 66.20], abs=0.005)


@pytest.mark.parametrize(('same', 'expected'), [
    ('the scene is the same as before', [82.3, 59.8, 70.4, 126.6]),
    ('there is no difference', [78.0, 42.4, 70.4, 134.2])])
def test_true_flag_and_one_sentence_score_as_published(test_split, same, expected):
    _, flags, _, corpus = test_split
    sentence = ['some', 'roads', 'and', 'houses', 'are', 'built', 'on', 'bareland']
    blind = floors.trivial_predictions(flags, sentence, same.split())
    assert four(corpus.score(blind['true_flag'])[0]) == pytest.approx(expected, abs=0.06)


def test_always_the_same_scores_as_published(test_split):
    references, flags, _, corpus = test_split
    unchanged = [i for i, flag in enumerate(flags) if not flag]
    same = floors.constant_no_change_caption(references, unchanged)
    assert ' '.join(same) == 'the scene is the same as before'
    blind = floors.trivial_predictions(flags, [], same)
    assert four(corpus.score(blind['no_change'])[0]) == pytest.approx(
        [64.6, 51.5, 60.6, 101.9], abs=0.06)


def test_a_person_scores_as_published(test_split):
    references, flags, _, _ = test_split
    predictions, left = floors.human_leave_one_out(references, flags)
    corpus = CaptionCorpus(left)
    changed = [i for i, flag in enumerate(flags) if flag]
    assert four(corpus.score(predictions)[0]) == pytest.approx([71.9, 34.5, 71.7, 135.3], abs=0.06)
    assert four(corpus.score(predictions, changed)[0]) == pytest.approx(
        [62.1, 19.1, 43.4, 41.6], abs=0.06)


def test_the_sentence_chosen_on_the_real_split_is_the_known_one(test_split):
    references, flags, _, corpus = test_split
    changed = [i for i, flag in enumerate(flags) if flag]
    chosen = floors.constant_change_caption(references, corpus, changed)
    assert ' '.join(chosen) == 'some houses are built on both sides of the road'
    assert corpus.constant_bleu(chosen, changed) == pytest.approx(30.0, abs=0.06)
