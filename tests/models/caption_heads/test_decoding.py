import pytest

from rscc.models.caption_heads.beam_rules import RULES
from rscc.models.caption_heads.decoding import BEAM_RULES, Decoding, to_captions
from rscc.models.caption_heads.hypotheses import Hypothesis


def test_every_rule_that_can_be_asked_for_exists():
    assert set(BEAM_RULES) == set(RULES)


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(ValueError, match=r"'clipcop' is none of .* Did you mean 'clipcap'"):
        Decoding(beam_rule='clipcop')


def test_maps_are_refused_where_a_head_has_none():
    with pytest.raises(ValueError, match='this caption head has no attention maps'):
        Decoding().updated(dict(return_attention=True))
    assert Decoding().updated(dict(return_attention=True), attention=True).return_attention


def test_captions_keep_order_and_score():
    written = [[Hypothesis([5, 3], -1.0, [-1.0, -1.0], [0, 0]), Hypothesis([6], -2.0, [-2.0], [0])]]
    captions = to_captions(written, lambda ids: '-'.join(map(str, ids)))
    assert captions == [[('5-3', -1.0), ('6', -2.0)]]
