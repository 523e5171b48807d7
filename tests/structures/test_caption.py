import json
import pickle

import torch

from rscc.structures import AttendedCaption, ScoredCaption


def test_an_attended_caption_is_a_scored_one_that_remembers_its_maps():
    maps = torch.rand(2, 1, 3, 4)
    caption = AttendedCaption.of(ScoredCaption('a house', -0.5), ['a', 'house'], maps)
    text, score = caption
    assert (text, score) == ('a house', -0.5) == caption
    assert json.loads(json.dumps([caption])) == [['a house', -0.5]]


def test_the_maps_travel_between_processes():
    caption = AttendedCaption.of(ScoredCaption('a', -1.0), ['a'], torch.rand(1, 1, 2, 2))
    other = pickle.loads(pickle.dumps(caption))
    assert other == caption and other.words == ['a']
    assert torch.equal(other.attention, caption.attention)
