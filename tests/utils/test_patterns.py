import pytest

from rscc.utils.patterns import matching_names

NAMES = ['encoder.weight', 'encoder.bias', 'head.weight', 'head.bias']


def test_names_come_in_model_order_once():
    assert matching_names(NAMES, ['bias', 'head']) == [
        'encoder.bias', 'head.weight', 'head.bias']


def test_pattern_without_a_match_names_the_nearest_part():
    with pytest.raises(ValueError, match=r"'\^encodr\\\.' matches no parameter.*\['encoder', "
                       r"'head'\]\. Did you mean 'encoder'\?"):
        matching_names(NAMES, [r'^encodr\.'])
