import pytest
import torch

from rscc.models.caption_heads.mappers.mlp import MLPMapper


def test_shapes_and_the_default_width():
    mapper = MLPMapper(6, 5, 3)
    assert mapper(torch.zeros(2, 6)).shape == (2, 3, 5)
    assert mapper.layers[0].out_features == 7  # half of 15, rounded down


def test_without_a_hidden_layer_it_is_linear():
    mapper = MLPMapper(6, 4, 3, hidden_channels=0)
    assert len(mapper.layers) == 1 and mapper(torch.zeros(2, 6)).shape == (2, 3, 4)


def test_tokens_are_refused_with_what_takes_them():
    with pytest.raises(ValueError, match="not source='tokens': take TransformerMapper"):
        MLPMapper(6, 4, 3, from_tokens=True)
