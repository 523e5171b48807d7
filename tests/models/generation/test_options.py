from dataclasses import FrozenInstanceError, dataclass

import pytest

from rscc.models.generation.beam_scorers import BEAM_SCORERS, Hypothesis
from rscc.models.generation.beam_search import to_captions
from rscc.models.generation.options import BEAM_RULES, Decoding, DecodingOptions


@dataclass(frozen=True)
class Speaking(DecodingOptions):
    words: int = 3
    loudness: float = 1.0

    def __post_init__(self):
        if self.words < 1:
            raise ValueError(f'words={self.words} are none')


def test_options_are_changed_in_a_copy():
    plain = Speaking()
    assert plain.updated(dict(words=5)) == Speaking(5, 1.0)
    assert plain == Speaking() == plain.updated({})
    with pytest.raises(FrozenInstanceError):
        plain.words = 4


def test_an_unknown_option_suggests_the_nearest_and_lists_all():
    with pytest.raises(TypeError, match=r"decoding has no option 'wrds'\. Did you mean 'words'\? "
                       'Options: words, loudness'):
        Speaking().updated(dict(wrds=5))


def test_a_changed_value_is_checked_as_a_first_one():
    with pytest.raises(ValueError, match='words=0 are none'):
        Speaking().updated(dict(words=0))


def test_options_are_a_dict_for_reports():
    assert Speaking(2).as_dict() == dict(words=2, loudness=1.0)


def test_every_rule_that_can_be_asked_for_exists():
    assert set(BEAM_RULES) == set(BEAM_SCORERS)


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(ValueError, match=r"'clipcop' is none of .* Did you mean 'clipcap'"):
        Decoding(beam_rule='clipcop')


def test_captions_keep_order_and_score_and_say_whether_they_were_cut():
    written = [[Hypothesis([5, 3], -1.0, [-1.0, -1.0], [0, 0]),
                Hypothesis([6], -2.0, [-2.0], [0], truncated=True)]]
    captions = to_captions(written, lambda ids: '-'.join(map(str, ids)), 7)
    assert captions == [[('5-3', -1.0), ('6', -2.0)]]
    assert [caption.cut_at for caption in captions[0]] == [None, 7]
