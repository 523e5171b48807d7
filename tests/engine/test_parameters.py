import pytest
from torch import nn

from rscc.engine.parameters import matching_parameters

MODEL = nn.ModuleDict({'encoder': nn.Linear(2, 2), 'head': nn.Linear(2, 1)})


def test_names_come_in_model_order_once():
    assert matching_parameters(MODEL, ['bias', 'head']) == [
        'encoder.bias', 'head.weight', 'head.bias']


def test_pattern_without_a_match_names_the_nearest_part():
    with pytest.raises(ValueError, match=r"'\^encodr\\\.' matches no parameter.*\['encoder', "
                       r"'head'\]\. Did you mean 'encoder'\?"):
        matching_parameters(MODEL, [r'^encodr\.'])
