"""Areas, shares and counts in words, in both languages."""
import re

import pytest

from rscc.text.quantities import area_text, decimal_text, pixels_text, share_text


@pytest.mark.parametrize(('square_metres', 'expected'), [
    (0, '0 m²'), (0.25, '0.25 m²'), (4.04, '4 m²'), (4.26, '4.3 m²'), (850, '850 m²'),
    (9999.4, '9,999 m²'),
    (9999.6, '1.0 ha'), (13_000, '1.3 ha'), (999_400, '99.9 ha'), (999_600, '1.00 km²'),
    (1_260_000, '1.26 km²'), (25_000_000, '25.0 km²'), (1_234_567e6, '1,234,567 km²')])
def test_areas_take_the_unit_of_their_size(square_metres, expected):
    assert area_text(square_metres, 'en') == expected


def test_areas_of_parts_take_the_unit_of_the_whole_while_it_shows_them():
    assert area_text(2000, 'en', like=13_000) == '0.2 ha'
    assert area_text(200, 'en', like=13_000) == '200 m²'
    assert area_text(1_260_000, 'zh') == '1.26 平方公里'
    assert area_text(13_000, 'zh') == '1.3 公顷'


@pytest.mark.parametrize(('share', 'english', 'chinese'), [
    (0, '0 %', '0%'), (0.00001, 'less than 0.01 %', '不足 0.01%'), (0.0004, '0.04 %', '0.04%'),
    (0.021, '2.1 %', '2.1%'), (0.99999, '99.9 %', '99.9%'), (1, '100 %', '100%')])
def test_shares_are_percent(share, english, chinese):
    assert (share_text(share, 'en'), share_text(share, 'zh')) == (english, chinese)


def test_pixels_have_a_plural():
    assert [pixels_text(n, 'en') for n in (0, 1, 1200)] == ['0 pixels', '1 pixel', '1,200 pixels']


@pytest.mark.parametrize(('score', 'decimals', 'expected'), [
    (-0.0, 3, '0.000'), (-0.0004, 3, '0.000'), (-0.0006, 3, '-0.001'), (-0.827, 3, '-0.827'),
    (-0.004, 2, '0.00'), (-1.25, 1, '-1.2'), (0.5, 3, '0.500')])
def test_scores_that_are_rounded_to_nothing_have_no_sign(score, decimals, expected):
    assert decimal_text(score, decimals) == expected


def test_every_score_is_written_by_one_function(repo):
    """Sentences of certain models score -0.000 otherwise: on the terminal, in pages and reports."""
    for path in (repo / 'rscc').rglob('*'):
        if path.suffix in ('.py', '.j2'):
            text = path.read_text(encoding='utf-8')
            assert not re.search(r"score[\w.]*:\.\d[ef]\}|'%\.\df' % [^}]*score", text), path
