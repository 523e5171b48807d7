import numpy as np
import pytest

from rscc.structures import SampledCaption, ScoredCaption
from rscc.visualization import denoising_trajectory as module
from rscc.visualization.denoising_trajectory import Run, denoising_rows, draw_denoising

STRIP = [(100.0, 'tree tree is'), (10.0, 'a tree is built'), (1.0, 'a house is built'),
         (0.5, 'a house is built'), (0.1, 'a house is built')]
FINAL = 'a house is built'


def test_a_row_is_a_sentence_that_differs_from_the_one_before():
    rows = denoising_rows(STRIP, FINAL)
    assert [(row.label, row.steps) for row in rows] == [('100', 1), ('10', 1), ('1 – 0.1', 3)]
    assert [' '.join(run.text for run in row.runs) for row in rows] == [
        'tree tree is', 'a tree is built', 'a house is built']


def test_words_know_whether_they_are_new_and_whether_they_stay():
    first, second, third = [row.runs for row in denoising_rows(STRIP, FINAL)]
    assert first == [Run('tree tree', False, False), Run('is', True, False)]
    assert second == [Run('a', True, True), Run('tree', False, False), Run('is', True, False),
                      Run('built', True, True)]
    assert third == [Run('a', True, False), Run('house', True, True), Run('is built', True, False)]


def test_a_sentence_that_comes_back_has_a_row_each_time():
    rows = denoising_rows([(3.0, 'a'), (2.0, 'b'), (1.0, 'a')], 'a')
    assert [row.label for row in rows] == ['3', '2', '1']
    assert rows[2].runs == [Run('a', True, True)]


def test_noise_is_a_place_on_a_logarithmic_scale():
    rows = denoising_rows([(100.0, 'a'), (1.0, 'b'), (0.01, 'c'), (0.0, 'd')], 'd')
    assert [row.noise for row in rows] == pytest.approx([1, 0.5, 0, 0])
    assert [row.noise for row in denoising_rows([(5.0, 'a')], 'a')] == [1.0]


def test_chinese_is_compared_by_characters():
    rows = denoising_rows([(2.0, '新建树木'), (1.0, '新建房屋')], '新建房屋')
    assert rows[1].runs == [Run('新建', True, False), Run('房屋', True, True)]


def test_empty_sentences_have_rows_without_words():
    (row,) = denoising_rows([(2.0, ''), (1.0, '')], '')
    assert row.runs == [] and row.label == '2 – 1'
    assert denoising_rows([], 'a house') == []


DRAWN = [(80.0, 'tree the road lake'), (8.0, 'a tree is lake'), (1.0, 'a house is built'),
         (0.1, 'a house is built')]


def frame(value=120, size=(64, 96)):
    return np.full((*size, 3), value, np.uint8)


def sampled(trajectory=DRAWN, text='a house is built', agreement=0.5, **more):
    return SampledCaption.of(ScoredCaption(text, -0.5), agreement, trajectory=trajectory, **more)


def count(picture, colour):
    return int((picture == colour).all(2).sum())


def test_a_picture_has_the_images_beside_the_rows():
    one, two = draw_denoising([frame(60)], sampled()), draw_denoising([frame(60), frame(200)],
                                                                      sampled())
    assert one.dtype == np.uint8 and one.shape[1:] == (module._WIDTH, 3)
    assert count(one, 60) == count(two, 60) == count(two, 200) == 240 * 160


def test_every_change_makes_the_picture_taller_and_repetitions_do_not():
    levels = [(80.0 / 2 ** n, f'word{n} tree') for n in range(24)]
    heights = [draw_denoising([frame()], sampled(trajectory)).shape[0]
               for trajectory in (levels[:20], levels[:21], levels[:21] + levels[20:21] * 9)]
    assert heights[1] - heights[0] == module._LINE + 2
    assert heights[2] - heights[1] == 12, 'the number of steps below the noise level'


def test_words_that_come_to_stay_stand_out():
    still = draw_denoising([frame()], sampled([(1.0, 'a house is built')]))
    moving = draw_denoising([frame()], sampled())
    assert count(moving, module._TINT) > 1.5 * count(still, module._TINT)  # the legend's


def test_a_bar_shows_how_much_the_sentences_agree():
    low, high = (count(draw_denoising([frame()], sampled(agreement=share, drawn=8)),
                       module._ACCENT) for share in (0.2, 0.9))
    assert high - low > 0.6 * 160 * 8
    assert count(draw_denoising([frame()], sampled(drawn=1)), module._ACCENT) < low


def test_abstaining_is_marked():
    plain, doubt = (draw_denoising([frame()], sampled(abstained=abstained, drawn=8))
                    for abstained in (False, True))
    assert count(plain, module._BAD) == 0 < count(doubt, module._BAD)


@pytest.mark.parametrize('text', ['word ' * 60, 'w' * 300, '新建' * 120, '', 'new 房屋 it ' * 30])
def test_sentences_of_any_length_stay_on_the_page(text):
    picture = draw_denoising([frame()], sampled([(9.0, 'tree'), (1.0, text)], text))
    assert (picture[:, -module._MARGIN + 4:] == 255).all()


def test_blanks_in_chinese_neither_lose_nor_double_a_character():
    rows = denoising_rows([(2.0, '新 树'), (1.0, '新 房 屋')], '新 房 屋')
    placed = [''.join(text for _, _, text, _ in module._placed(row.runs, 100)) for row in rows]
    assert [text.replace(' ', '') for text in placed] == ['新树', '新房屋']


def test_long_strips_of_long_sentences_grow_the_page():
    trajectory = [(80.0 / 1.2 ** n, f'word{n} ' * 40) for n in range(50)]
    picture = draw_denoising([frame()], sampled(trajectory))
    assert picture.shape[0] > 4000 and (picture[-120:-40] != 255).any()


def test_chinese_sentences_get_chinese_labels(monkeypatch):
    seen = []
    monkeypatch.setattr(module._Page, 'legend',
                        lambda page, words: seen.append(words['trajectory']))
    monkeypatch.setattr(module, 'find_cjk_font', lambda: 'a font')
    for text in ('新建房屋', 'a house'):
        draw_denoising([frame()], sampled([(1.0, text)], text))
    monkeypatch.setattr(module, 'find_cjk_font', lambda: None)
    draw_denoising([frame()], sampled([(1.0, '新建房屋')], '新建房屋'))
    assert seen == ['去噪轨迹', 'Denoising trajectory', 'Denoising trajectory']


@pytest.mark.parametrize(('frames', 'trajectory'), [(0, DRAWN), (1, [])])
def test_frames_and_steps_are_needed(frames, trajectory):
    with pytest.raises(ValueError, match=rf'got {frames} frame\(s\) and a trajectory of '
                                         rf'{len(trajectory)} step\(s\); expected at least one'):
        draw_denoising([frame()] * frames, sampled(trajectory))
