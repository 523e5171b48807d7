from dataclasses import fields

import numpy as np
import pytest
import torch

from rscc.registry import MODELS
from rscc.structures import AttendedCaption, SampledCaption, ScoredCaption
from rscc.visualization.caption_drawings import CAPTION_DRAWINGS, drawings_of, find_drawing

PLAIN = ScoredCaption('a house', -1.0)
ATTENDED = AttendedCaption.of(PLAIN, ['a', 'house'], torch.full((2, 1, 3, 3), 1 / 9))
SAMPLED = SampledCaption.of(PLAIN, 0.5, trajectory=[(10.0, 'road'), (0.1, 'a house')])


def test_every_kind_of_caption_has_its_drawings():
    assert [kind.name for kind in drawings_of(ATTENDED)] == ['attention']
    assert [kind.name for kind in drawings_of(SAMPLED)] == ['denoising']
    for caption in (None, PLAIN, SampledCaption.of(PLAIN, 0.5)):
        assert drawings_of(caption) == []


@pytest.mark.parametrize(('name', 'caption'), [('attention', ATTENDED), ('denoising', SAMPLED)])
def test_a_drawing_is_found_by_name_and_draws(name, caption):
    picture = find_drawing(name, caption).draw([np.zeros((20, 20, 3), np.uint8)], caption, 'title')
    assert picture.dtype == np.uint8 and picture.ndim == 3


def test_unknown_drawings_suggest_the_nearest():
    with pytest.raises(ValueError, match="no drawing 'denoise'; expected one of attention, "
                                         r"denoising\. Did you mean 'denoising'"):
        find_drawing('denoise', SAMPLED)


@pytest.mark.parametrize('caption', [None, PLAIN, ATTENDED])
def test_a_drawing_that_the_caption_does_not_bring_says_how_to_get_it(caption):
    with pytest.raises(ValueError, match='no denoising trajectories to draw: ask for them with '
                                         r'return_trajectory=True, of a model .*\(Karras'):
        find_drawing('denoising', caption)


@pytest.mark.parametrize('kind', CAPTION_DRAWINGS, ids=lambda kind: kind.name)
def test_the_messages_name_heads_and_options_that_a_config_can_set(kind):
    options = MODELS.get(kind.heads).NESTED_OPTIONS['decoding']
    assert kind.option in {field.name for field in fields(options)}
