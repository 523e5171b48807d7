import numpy as np
import pytest

from rscc.structures import SampledCaption, ScoredCaption
from rscc.visualization import denoising
from rscc.visualization.denoising import draw_denoising

STRIP = [(80.0, 'tree the road lake'), (8.0, 'a tree is lake'), (1.0, 'a house is built'),
         (0.1, 'a house is built')]


def frame(value=120, size=(64, 96)):
    return np.full((*size, 3), value, np.uint8)


def sampled(strip=STRIP, text='a house is built', agreement=0.5, **more):
    return SampledCaption.of(ScoredCaption(text, -0.5), agreement, strip=strip, **more)


def count(picture, colour):
    return int((picture == colour).all(2).sum())


def test_a_picture_has_the_images_beside_the_rows():
    one, two = draw_denoising([frame(60)], sampled()), draw_denoising([frame(60), frame(200)],
                                                                      sampled())
    assert one.dtype == np.uint8 and one.shape[1:] == (denoising._WIDTH, 3)
    assert count(one, 60) == count(two, 60) == count(two, 200) == 240 * 160


def test_every_change_makes_the_picture_taller_and_repetitions_do_not():
    levels = [(80.0 / 2 ** n, f'word{n} tree') for n in range(24)]
    heights = [draw_denoising([frame()], sampled(strip)).shape[0]
               for strip in (levels[:20], levels[:21], levels[:21] + levels[20:21] * 9)]
    assert heights[1] - heights[0] == denoising._LINE + 2
    assert heights[2] - heights[1] == 12, 'the number of steps below the noise level'


def test_words_that_come_to_stay_stand_out():
    still = draw_denoising([frame()], sampled([(1.0, 'a house is built')]))
    moving = draw_denoising([frame()], sampled())
    assert count(moving, denoising._TINT) > 1.5 * count(still, denoising._TINT)  # the legend's


def test_a_bar_shows_how_much_the_sentences_agree():
    low, high = (count(draw_denoising([frame()], sampled(agreement=share, drawn=8)),
                       denoising._ACCENT) for share in (0.2, 0.9))
    assert high - low > 0.6 * 160 * 8
    assert count(draw_denoising([frame()], sampled(drawn=1)), denoising._ACCENT) < low


def test_abstaining_is_marked():
    plain, doubt = (draw_denoising([frame()], sampled(abstained=abstained, drawn=8))
                    for abstained in (False, True))
    assert count(plain, denoising._BAD) == 0 < count(doubt, denoising._BAD)


@pytest.mark.parametrize('text', ['word ' * 60, 'w' * 300, '新建' * 120, '', 'new 房屋 it ' * 30])
def test_sentences_of_any_length_stay_on_the_page(text):
    picture = draw_denoising([frame()], sampled([(9.0, 'tree'), (1.0, text)], text))
    assert (picture[:, -denoising._MARGIN + 4:] == 255).all()


def test_blanks_in_chinese_neither_lose_nor_double_a_character():
    rows = denoising.denoising_rows([(2.0, '新 树'), (1.0, '新 房 屋')], '新 房 屋')
    placed = [''.join(text for _, _, text, _ in denoising._placed(row.runs, 100)) for row in rows]
    assert [text.replace(' ', '') for text in placed] == ['新树', '新房屋']


def test_long_strips_of_long_sentences_grow_the_page():
    strip = [(80.0 / 1.2 ** n, f'word{n} ' * 40) for n in range(50)]
    picture = draw_denoising([frame()], sampled(strip))
    assert picture.shape[0] > 4000 and (picture[-120:-40] != 255).any()


def test_chinese_sentences_get_chinese_labels(monkeypatch):
    seen = []
    monkeypatch.setattr(denoising._Page, 'legend', lambda page, words: seen.append(words['strip']))
    monkeypatch.setattr(denoising, 'find_cjk_font', lambda: 'a font')
    for text in ('新建房屋', 'a house'):
        draw_denoising([frame()], sampled([(1.0, text)], text))
    monkeypatch.setattr(denoising, 'find_cjk_font', lambda: None)
    draw_denoising([frame()], sampled([(1.0, '新建房屋')], '新建房屋'))
    assert seen == ['从噪声到句子', 'From noise to words', 'From noise to words']


@pytest.mark.parametrize(('frames', 'strip'), [(0, STRIP), (1, [])])
def test_frames_and_steps_are_needed(frames, strip):
    with pytest.raises(ValueError, match=rf'got {frames} frame\(s\) and a strip of {len(strip)} '
                                         r'step\(s\); expected at least one of each'):
        draw_denoising([frame()] * frames, sampled(strip))
