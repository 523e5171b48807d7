"""Where the scorers differ; their results against the originals are in tests/parity."""
import pytest
import torch

from rscc.models.generation.beam_scorers import (
    ShowAttendTellBeamScorer,
    StandardBeamScorer,
    build_beam_scorer,
)
from rscc.models.generation.beam_search import search
from rscc.models.generation.options import BEAM_RULES, Decoding

STOP = 3
# 0 starts. Ending at once is likely (.5); 1 goes on for long and is sure of it.
PATHS = torch.tensor([[0, .45, .05, .5], [0, .98, .01, .01], [0, .5, .3, .2], [0, 0, 0, 1.]])


class Markov:
    def step(self, ids, state):
        ids = torch.zeros(1, dtype=torch.long) if ids is None else ids
        return PATHS[ids].log(), state

    def select(self, state, rows):
        return state


def best(rule, **options):
    options = Decoding(num_beams=2, num_captions=2, beam_rule=rule, max_tokens=5, **options)
    return [sentence.ids for sentence in search(Markov(), None, options, [STOP], 0)[0]]


def test_means_favour_the_long_sure_sentence():
    assert best('standard')[0] == [1, 1, 1, 1, 1]
    assert best('clipcap')[0] == [1, 1, 1, 1, 1]


def test_sums_favour_the_short_sentence_and_finished_ones_rank_first():
    assert best('show_attend_tell')[0] == [STOP]
    assert best('standard', length_penalty=0.0)[0] == [STOP]
    # One ended, so one beam was left, and it found no end.
    assert best('show_attend_tell')[1] == [1, 1, 1, 1, 1]


def test_a_finished_beam_keeps_its_place_under_clipcaps_rule():
    assert best('clipcap')[1] == [STOP]


@pytest.mark.parametrize('rule', BEAM_RULES)
def test_one_beam_is_greedy_search_under_every_rule(rule):
    assert isinstance(build_beam_scorer(Decoding(beam_rule=rule), 1, 0),
                      ShowAttendTellBeamScorer)


def test_enough_candidates_are_looked_at_for_every_way_to_end():
    assert StandardBeamScorer(Decoding(num_beams=3), 2, 0).num_candidates == 9
