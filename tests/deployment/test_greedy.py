import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from rscc.deployment.greedy import GreedyRules, choose, greedy_search, log_softmax
from rscc.models.generation.beam_search import search
from rscc.models.generation.options import Decoding

VOCAB = 7
STOPS, GIVEN, BANNED = (3, 5), (1, 2), (0, 6)


def scores(history):
    """Logits that depend on all that was read; the stop ids come up now and then."""
    draw = np.random.default_rng([int(i) + 1 for i in history])
    return draw.normal(scale=3, size=VOCAB).astype(np.float32)


class Drawn:
    """One decoder for both searches; rows differ by their number, which they read first."""

    def __init__(self, rows):
        self.read, self.rows_seen = [[row] for row in range(rows)], []

    def step(self, ids, state=None):
        if state is not None:
            return self._torch(ids, state)
        self.rows_seen.append(len(ids))
        for own, new in zip(self.read, ids, strict=True):
            own.extend(new.tolist())
        return np.stack([scores(own) for own in self.read])

    def keep(self, rows):
        self.read = [self.read[row] for row in rows]

    def _torch(self, ids, state):
        new = [GIVEN] * len(state) if ids is None else [[i] for i in ids.tolist()]
        state = [[*own, *more] for own, more in zip(state, new, strict=True)]
        return torch.from_numpy(np.stack([scores(own) for own in state])), state

    @staticmethod
    def select(state, rows):
        return [state[row] for row in rows.tolist()]


@pytest.mark.parametrize('options', [
    {}, dict(max_tokens=1), dict(max_tokens=3), dict(min_tokens=4),
    dict(repetition_penalty=1.7), dict(repetition_penalty=0.6), dict(no_repeat_ngram=1),
    dict(no_repeat_ngram=2), dict(no_repeat_ngram=3, min_tokens=9, repetition_penalty=2.0)])
def test_ids_and_scores_are_those_of_torchs_search(options):
    rows, options = 12, dict(max_tokens=12) | options
    expected = search(Drawn(rows), [[row] for row in range(rows)], Decoding(**options), STOPS, 0,
                      BANNED, GIVEN)
    found = greedy_search(Drawn(rows), rows, GreedyRules(GIVEN, GIVEN, STOPS, BANNED, **options))
    assert [ids for ids, _ in found] == [sentences[0].ids for sentences in expected]
    assert [score for _, score in found] == pytest.approx(
        [sentences[0].score for sentences in expected], abs=1e-5)
    assert len({len(ids) for ids, _ in found}) > 1 or options['max_tokens'] == 1


def test_rows_that_have_ended_leave_when_they_are_half():
    decoder = Drawn(12)
    written = greedy_search(decoder, 12, GreedyRules(GIVEN, GIVEN, STOPS, BANNED, max_tokens=30))
    assert decoder.rows_seen[0] == 12 and decoder.rows_seen[-1] <= 6
    alone = [greedy_search(_Only(row), 1, GreedyRules(GIVEN, GIVEN, STOPS, BANNED, max_tokens=30))
             for row in range(12)]
    assert [ids for ids, _ in written] == [one[0][0] for one in alone]


class _Only(Drawn):

    def __init__(self, row):
        super().__init__(1)
        self.read = [[row]]


def test_where_nothing_may_be_written_the_sentence_ends():
    rules = GreedyRules((), (), (1, ), (0, 2), min_tokens=5)
    logits = np.array([9, 0, 9], np.float32)
    assert choose(logits, log_softmax(logits[None])[0], [], rules) == 1


def test_scores_that_are_no_numbers_are_told():
    logits = np.full(3, np.nan, np.float32)
    with pytest.raises(ValueError, match=r'not numbers \(NaN\)'):
        choose(logits, logits, [], GreedyRules((), (), (1, )))


def test_rules_survive_json_and_refuse_another_form():
    rules = GreedyRules((4, ), (1, 2), (3, ), (), 9, 1, 1.5, 2)
    stored = json.loads(json.dumps(asdict(rules)))
    assert GreedyRules.from_dict(stored, 'x') == rules
    with pytest.raises(ValueError, match='the rules: max_tokens is an integer'):
        GreedyRules.from_dict(stored | dict(max_tokens=0), 'the rules')


def test_decoding_options_change_the_rules_as_far_as_greedy_search_goes():
    rules = GreedyRules((), (), (3, ), max_tokens=20)
    assert rules.updated(dict(num_beams=1, max_tokens=5, min_tokens=2)) == GreedyRules(
        (), (), (3, ), max_tokens=5, min_tokens=2)
    with pytest.raises(ValueError, match="greedily and have no decoding option 'num_beams'"):
        rules.updated(dict(num_beams=3))
    with pytest.raises(ValueError, match=r"no decoding option 'max_token'\. Did you mean"):
        rules.updated(dict(max_token=3))
    with pytest.raises(ValueError, match='max_tokens <= 20'):
        rules.updated(dict(max_tokens=21))
    with pytest.raises(ValueError, match='max_tokens <= 20'):
        rules.updated(dict(max_tokens=3, min_tokens=4))
    with pytest.raises(ValueError, match='the decoding options: no_repeat_ngram'):
        rules.updated(dict(no_repeat_ngram='two'))
