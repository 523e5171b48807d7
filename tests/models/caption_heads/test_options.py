from dataclasses import FrozenInstanceError, dataclass

import pytest

from rscc.models.caption_heads.options import DecodingOptions


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
