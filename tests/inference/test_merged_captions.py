from rscc.inference.windows import WindowAnswer, merge_captions
from rscc.structures import ScoredCaption


def windows(*said):
    return [WindowAnswer((0, 0, 1, 1), [ScoredCaption(text, score)] if text else [], None, share)
            for text, score, share in said]


def test_an_image_without_change_is_told_by_its_most_frequent_sentence():
    captions, told = merge_captions(windows(
        ('there is no difference', -0.2, 0), ('the scene is the same as before', -0.1, 0),
        ('there is no difference', -0.3, 0)), 'en')
    assert captions == [ScoredCaption('there is no difference', -0.2)] and told == 3


def test_only_windows_with_change_are_told_and_the_most_frequent_first():
    captions, told = merge_captions(windows(
        ('there is no difference', -0.1, 0), ('a road is built', -0.5, 0.1),
        ('many houses appear', -0.4, 0.2), ('many houses appear', -0.2, 0.2),
        ('many houses appear here', -0.1, 0.2)), 'en')
    assert captions[0].text == 'many houses appear; a road is built' and told == 4
    assert captions[0].score == (-0.2 - 0.5) / 2


def test_the_larger_area_decides_between_sentences_said_equally_often():
    captions, _ = merge_captions(windows(('a road is built', -1, 0.1),
                                         ('some trees vanish', -1, 0.3)), 'en')
    assert captions[0].text == 'some trees vanish; a road is built'


def test_at_most_three_things_are_told():
    captions, told = merge_captions(windows(*((f'w{n} x{n} y{n}', -1, 0) for n in range(9))), 'en')
    assert captions[0].text.count(';') == 2 and told == 9


def test_chinese_is_told_in_chinese():
    captions, told = merge_captions(windows(('没有变化', -1, 0), ('新建了一栋房屋', -1, 0.1),
                                            ('树木被清除', -1, 0.2)), 'zh', ['没有变化'])
    assert captions[0].text == '树木被清除；新建了一栋房屋' and told == 2


def test_single_images_have_no_change_to_tell():
    captions, told = merge_captions(windows(('the same', -1, None), ('a port', -1, None)), 'en',
                                    pairs=False)
    assert set(captions[0].text.split('; ')) == {'the same', 'a port'} and told == 2


def test_windows_without_sentences_have_none():
    assert merge_captions(windows((None, 0, 0.5)), 'en') == ([], 0)
