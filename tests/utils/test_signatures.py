"""What is said of unknown keywords; finding them is tested where a config is checked."""
import pytest

from rscc.utils.signatures import refuse_unknown


def draw(width, colour='red'):
    return width, colour


def test_known_keywords_pass():
    refuse_unknown(['width', 'colour'], draw, 'pen')
    refuse_unknown(['whatever'], dict, 'pen')


def test_an_unknown_keyword_names_the_nearest():
    with pytest.raises(TypeError, match=r"pen has no option 'color'\. Did you mean 'colour'\? "
                       'Options: colour, width'):
        refuse_unknown(dict(width=1, color='blue'), draw, 'pen')
