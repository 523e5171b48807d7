import pytest

from rscc.structures import SampledCaption, ScoredCaption
from rscc.visualization.panels import LABELS
from rscc.visualization.report_strips import agreement_html, sampled_caption, strip_html

STRIP = [(80.0, 'tree tree is'), (8.0, 'a tree is'), (1.0, 'a house is'), (0.5, 'a house is')]


def sampled(strip=STRIP, text='a house is', **more):
    return SampledCaption.of(ScoredCaption(text, -1.0), 0.25, strip=strip, **more)


def test_a_sample_of_the_predictions_file_gives_its_sentence_back():
    caption = sampled(abstained=True, drawn=4)
    assert sampled_caption({'prediction': 'a house is', **caption.details()}).details() == (
        caption.details())
    assert sampled_caption({'prediction': 'a house is', 'score': -1.0}) is None


def test_words_are_marked_by_what_becomes_of_them():
    html = strip_html(sampled(), LABELS['en'])
    assert '<p>tree tree <b>is</b></p>' in html
    assert '<p><mark>a</mark> tree <b>is</b></p>' in html
    assert '<p><b>a</b> <mark>house</mark> <b>is</b></p>' in html
    assert html.count('<li>') == 3 and 'σ 1 – 0.5<small>2 steps</small>' in html


def test_passing_words_are_underlined_and_empty_sentences_are_shown():
    html = strip_html(sampled([(2.0, ''), (1.0, 'a lake & is')]), LABELS['en'])
    assert '<p>—</p>' in html
    assert '<p><mark>a</mark> <u>lake &amp;</u> <mark>is</mark></p>' in html


@pytest.mark.parametrize(('opened', 'start'), [(True, '<details class="strip" open>'),
                                               (False, '<details class="strip">')])
def test_rows_show_at_once_or_after_a_click(opened, start):
    assert strip_html(sampled(), LABELS['en'], opened).startswith(start)


def test_without_a_strip_or_others_to_agree_with_there_is_nothing():
    assert strip_html(sampled([]), LABELS['en']) == ''
    assert agreement_html(sampled(drawn=1), LABELS['en']) == ''
    html = agreement_html(sampled(drawn=8, abstained=True), LABELS['zh'])
    assert '8 个采样句的一致度' in html and 'doubt' in html and '--share:0.250' in html
