import copy
import json
import pickle

import pytest
import torch

from rscc.structures import SampledCaption, ScoredCaption, caption_from


def test_an_attended_caption_is_a_scored_one_that_remembers_its_maps():
    maps = torch.rand(2, 1, 3, 4)
    caption = ScoredCaption('a house', -0.5).looking(['a', 'house'], maps)
    text, score = caption
    assert (text, score) == ('a house', -0.5) == caption
    assert json.loads(json.dumps([caption])) == [['a house', -0.5]]


def test_the_maps_travel_between_processes():
    caption = ScoredCaption('a', -1.0).looking(['a'], torch.rand(1, 1, 2, 2))
    other = pickle.loads(pickle.dumps(caption))
    assert other == caption and other.words == ['a']
    assert torch.equal(other.attention, caption.attention)


def test_a_sampled_caption_is_a_scored_one_that_remembers_how_it_came_about():
    caption = SampledCaption.of(ScoredCaption('a house', -0.5), 0.75, True, iter([(80.0, 'the')]),
                                8)
    assert caption == ('a house', -0.5) and caption.text == 'a house'
    assert vars(caption) == {'cut_at': None, 'agreement': 0.75, 'abstained': True,
                             'trajectory': [(80.0, 'the')], 'drawn': 8}
    assert json.loads(json.dumps([caption])) == [['a house', -0.5]]


def test_sampled_captions_share_no_trajectory():
    first, second = (SampledCaption.of(ScoredCaption('a', -1.0), 1.0) for _ in range(2))
    first.trajectory.append((1.0, 'a'))
    assert second.trajectory == [] and second.abstained is False


@pytest.mark.parametrize('again', [copy.copy, copy.deepcopy,
                                   lambda caption: pickle.loads(pickle.dumps(caption))])
def test_a_sampled_caption_survives_copies_and_other_processes(again):
    caption = SampledCaption.of(ScoredCaption('a', -1.0, 40), 0.5, True,
                                [(10.0, 'b'), (1.0, 'a')], 4)
    other = again(caption)
    assert type(other) is SampledCaption and other == caption
    assert vars(other) == vars(caption)


def test_details_pass_through_json_and_back():
    caption = SampledCaption.of(ScoredCaption('a', -1.0, 40), 1 / 3, True, [(1 / 3, 'b')], 4)
    details = json.loads(json.dumps(caption.details()))
    assert details == {'truncated': 40, 'agreement': 0.3333, 'abstained': True, 'drawn': 4,
                       'trajectory': [[0.333333, 'b']]}
    again = caption_from('a', -1.0, details | {'more': 1})
    assert again == caption and again.details() == details
    assert isinstance(again.trajectory[0], tuple)


def test_plain_captions_have_no_details():
    plain = ScoredCaption('a', -1.0)
    assert plain.details() == {}
    assert plain.looking(['a'], torch.zeros(1, 1, 1, 1)).details() == {}
    assert type(caption_from('a', -1.0, {'score': 1})) is ScoredCaption
    assert 'trajectory' not in SampledCaption.of(plain, 1.0).details()


def test_files_of_before_the_new_name_keep_their_trajectory():
    old = {'agreement': 0.5, 'abstained': False, 'drawn': 2, 'strip': [[1.0, 'b']]}
    assert caption_from('a', -1.0, old).trajectory == [(1.0, 'b')]


def test_a_caption_that_was_cut_says_at_which_limit():
    plain, cut = ScoredCaption('a', -1.0), ScoredCaption('a', -1.0, 40)
    assert (plain.truncated, cut.truncated, cut.cut_at) == (False, True, 40)
    assert cut.details() == {'truncated': 40} and tuple(cut) == ('a', -1.0)
    assert caption_from('a', -1.0, cut.details()).cut_at == 40
    assert pickle.loads(pickle.dumps(cut)).cut_at == copy.deepcopy(cut).cut_at == 40
    assert cut.looking(['a'], torch.zeros(1, 1, 1, 1)).truncated
    assert SampledCaption.of(cut, 1.0).truncated and not SampledCaption.of(plain, 1.0).truncated
