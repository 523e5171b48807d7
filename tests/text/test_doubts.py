"""Words for doubt, in both languages."""
import pytest

from rscc.text.doubts import (
    GRADES,
    REASON_INPUTS,
    grade_of,
    grade_text,
    no_reason_text,
    reason_kind,
    reason_texts,
    risk_text,
)

DETAILS = {language: dict(flag='20 %', lacking='road', said=2, seen=3, thing='road', score=-1.0,
                          limit=2, resolution=1.0, trained=0.5) for language in ('en', 'zh')}


@pytest.mark.parametrize(('value', 'sure', 'grade', 'english', 'chinese'), [
    (0.004, True, 'low', 'under 1 %: low', '不足 1%：低'),
    (0.194, True, 'low', '19 %: low', '19%：低'),
    (0.2, True, 'medium', '20 %: medium', '20%：中等'),
    (0.494, True, 'medium', '49 %: medium', '49%：中等'),
    (0.5, True, 'high', '50 %: too high, not sure', '50%：过高，不确定'),
    (0.15, False, 'high', '15 %: too high, not sure', '15%：过高，不确定'),
    (0.999, False, 'high', 'over 99 %: too high', '超过 99%：过高'),
    (None, None, 'uncalibrated', 'not calibrated', '未标定')])
def test_the_words_follow_the_number(value, sure, grade, english, chinese):
    assert grade_of(value, sure) == grade
    assert english in risk_text(value, grade) and chinese in risk_text(value, grade, 'zh')


def test_what_is_not_calibrated_says_how_to_calibrate():
    for language in ('en', 'zh'):
        command = 'tools/analysis_tools/calibrate.py'
        assert command in risk_text(None, 'uncalibrated', language)
        assert command not in risk_text(None, 'uncalibrated', language, how=False)


def test_every_grade_and_reason_has_words_in_both_languages():
    for grade in GRADES:
        assert grade_text(grade) != grade_text(grade, 'zh')
        assert no_reason_text(grade) != no_reason_text(grade, 'zh')
    for name in REASON_INPUTS:
        assert reason_kind(name) != reason_kind(name, 'zh')
        for score in (0.3, 1.0):
            texts = reason_texts(name, score, DETAILS)
            assert texts['en'].isascii() and not texts['zh'].isascii(), name
