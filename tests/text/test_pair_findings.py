import re
import string

import pytest

from rscc.text.pair_findings import MESSAGES, Share, Told, joined, percent, tell

#: What a text of one language says -> how the other one says it.
SAME = {'the earlier date': '前时相', 'of the earlier': '前时相', 'the later date': '后时相',
        'a hint only': '仅为迹象', 'unsure': '不确定', 'windows that agree': '一致的窗口',
        'would move nothing': '不会移动', 'moves it back': '移回', 'look like changes': '像变化',
        'get no answer': '没有结果', 'gets no answer': '没有结果', 'damaged': '损坏',
        'other one': '另一时相', 'unknown': '未知', 'percentile': 'percentile'}


def fields(text):
    """Return what a text mentions, with how it is written: ``('across', '.2f')``."""
    return sorted((name, how) for _, name, how, _ in string.Formatter().parse(text)
                  if name is not None)


def numbers(text):
    return sorted(re.findall(r'\d+(?:\.\d+)?', re.sub(r'\{[^}]*\}', '', text)))


def flags(text):
    return sorted(re.findall(r'--[a-z-]+', text))


@pytest.mark.parametrize('name', MESSAGES)
def test_both_languages_of_a_message_say_the_same(name):
    english, chinese = MESSAGES[name]
    assert fields(english) == fields(chinese)
    assert numbers(english) == numbers(chinese)
    assert flags(english) == flags(chinese)
    for said, other in SAME.items():
        assert said not in english or other in chinese, said
    for date, others in (('前时相', r'earlier'), ('后时相', r'later')):
        assert date not in chinese or re.search(others, english), date
    if re.sub(r'\{[^}]*\}', '', english).strip(' ;'):
        assert re.search('[\u4e00-\u9fff]', chinese)


def test_no_message_goes_untold(repo):
    sources = ''.join(path.read_text() for path in (repo / 'rscc' / 'scenes').glob('*.py'))
    sources += (repo / 'rscc' / 'text' / 'pair_findings.py').read_text().partition('_LANGUAGES')[2]
    unused = [name for name in MESSAGES if not re.search(rf"'{name}'", sources)]
    # Named by their date, or by the way that sizes differ.
    assert unused == ['size_larger', 'size_smaller', 'clouds_earlier', 'clouds_later',
                      'haze_earlier', 'haze_later']


def test_values_are_written_in_each_language():
    told = tell('overlap', share=Share(0.423)) + tell('overlap_little')
    assert told.texts == {
        'en': 'the later date covers 42 % of the earlier one; the rest gets no answer. Are these '
              'the right files?',
        'zh': '后时相覆盖了前时相的 42%；其余部分没有结果。文件选对了吗？'}
    found = tell('shift_found', across=1.5, side=tell('left'), along=0.25, way=tell('up'),
                 agreeing=8, windows=9)
    assert found.en == ('the later date shows things 1.50 pixels left and 0.25 up '
                        '(windows that agree: 8 of 9)')
    assert found.zh == '后时相中的地物偏左 1.50 像素、偏上 0.25 像素（一致的窗口 8 / 9 个）'


def test_parts_that_are_equal_are_told_once():
    assert joined([3, 3]).texts == {'en': '3', 'zh': '3'}
    assert joined(['uint8', 'uint16']).texts == {'en': 'uint8 and uint16', 'zh': 'uint8 和 uint16'}
    assert joined([Told('a', '甲'), Told('b', '乙')], 'also') == Told('a; b', '甲；乙')


@pytest.mark.parametrize(('share', 'expected'), [
    (0, '0 %'), (0.0005, '< 0.1 %'), (0.004, '0.4 %'), (0.5, '50 %'), (0.996, '99.6 %'),
    (0.9999, '> 99.9 %'), (1, '100 %')])
def test_shares_are_rounded_for_people(share, expected):
    assert percent(share) == expected
    assert percent(share, 'zh') == expected.replace(' %', '%')
