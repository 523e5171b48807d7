"""Words for the doubt about an answer, in English and Chinese: grade, risk and every reason.

Terminal, panels, reports, layers and the web page take their words from here, so that one number
reads alike everywhere.
"""
from collections.abc import Mapping
from typing import Any

from rscc.text.quantities import decimal_text, percent_text

#: What calibrates a model whose answers have no number yet.
CALIBRATE = 'python tools/analysis_tools/calibrate.py CONFIG CKPT --out calibrated.pth'
#: Risk from which on an answer is no longer "low", and from which on no answer is sure: whatever
#: the calibration's own threshold, one that is as likely wrong as right cannot be relied on.
MEDIUM_FROM, NEVER_SURE_FROM = 0.2, 0.5
#: Grade -> a word or two for a mark, and the sentence with the risk; English and Chinese.
_GRADES = {
    'low': (('low risk', '风险低'),
            ('risk of error {risk}: low', '出错风险 {risk}：低')),
    'medium': (('medium risk', '风险中等'),
               ('risk of error {risk}: medium, check before use',
                '出错风险 {risk}：中等，使用前请核对')),
    'high': (('not sure', '不确定'),
             ('risk of error {risk}: too high, not sure', '出错风险 {risk}：过高，不确定')),
    'uncalibrated': (('not calibrated', '未标定'),
                     ('risk of error unknown: not calibrated', '出错风险未知：未标定'))}
_HOW = (f'; to calibrate: {CALIBRATE}', f'；标定命令：{CALIBRATE}')
GRADES = tuple(_GRADES)
#: Told of a risk that no single reason explains.
_OF_ITS_KIND = ('no single reason stands out: answers of this kind were often wrong in validation',
                '没有突出的单项原因：验证时这类结果常有错误')
_NOTHING = ('nothing was found that speaks against it', '没有发现与之矛盾的信息')
#: Input of a doubt -> English and Chinese text.
_REASONS = {
    'sentence_map/denied': ('the sentence says that nothing changed, and the map shows a change',
                            '文字称没有变化，而变化图中有变化'),
    'sentence_map/unseen': ('the sentence tells of a change, and the map shows none',
                            '文字称发生了变化，而变化图中没有变化'),
    'sentence_map/absent': ('the map shows nothing of the kind that the sentence names',
                            '变化图中没有文字所说的地物类别'),
    'sentence_map/extra': ('the sentence also names what the map does not show: {lacking}',
                           '文字还提到了变化图中没有的类别：{lacking}'),
    'sentence_map/silent': ('the sentence leaves out a class that is {share} of the change on the '
                            'map', '文字没有提到占变化图 {share} 的一个类别'),
    'sentence_map/count': ('the sentence gives another number ({said}) than the map has separate '
                           'regions of {thing} ({seen}, small ones counted)',
                           '文字中的数量（{said}）与变化图中{thing}的图斑数（{seen}，含小图斑）不符'),
    'sentence_map/place': ('{share} of the change on the map lies elsewhere than the sentence says',
                           '变化图中 {share} 的变化不在文字所说的位置'),
    'cut': ('the sentence is cut at its limit of {limit} tokens',
            '文字达到 {limit} 个词元的上限而被截断'),
    'sentence_flag': ('the change flag says otherwise: probability of a change {flag}',
                      '变化分类头的结论相反：变化概率为 {flag}'),
    'contradiction': ("the model's other sentences contradict this one",
                      '模型的其他候选句与本句矛盾'),
    'novelty': ('the images look unlike those of the training', '影像与训练影像差异较大'),
    'resolution': ('a pixel covers {resolution:.2g} m, {trained:.2g} m in training',
                   '影像分辨率为 {resolution:.2g} 米，训练影像为 {trained:.2g} 米'),
    'score': ('the model finds its own words unlikely (score {score})',
              '模型对本句的把握偏低（得分 {score}）'),
}
#: Input of a doubt -> what kind of reason it is, in a few words.
_KINDS = {
    'sentence_map/denied': ('"no change" over a changed map', '称无变化而变化图有变化'),
    'sentence_map/unseen': ('a change that the map does not show', '变化图中没有的变化'),
    'sentence_map/absent': ('other classes than on the map', '类别与变化图不同'),
    'sentence_map/extra': ('a class that the map lacks', '变化图中没有的类别'),
    'sentence_map/silent': ('a class left out', '遗漏的类别'),
    'sentence_map/count': ('another number than on the map', '数量与变化图不符'),
    'sentence_map/place': ('another place than on the map', '位置与变化图不符'),
    'cut': ('a sentence cut at its limit', '被截断的文字'),
    'sentence_flag': ('sentence and probability of change', '文字与变化概率'),
    'contradiction': ('sentences among themselves', '候选句互相矛盾'),
    'novelty': ('unlike the training images', '与训练影像差异较大'),
    'resolution': ('another pixel size', '像素大小不同'),
    'score': ('low score', '得分偏低'),
}
#: Text of a reason whose score is below one half, where that is another thing to say.
_WEAK = {
    'sentence_flag': ('the change flag is not certain: probability of a change {flag}',
                      '变化分类头不够确定：变化概率为 {flag}'),
    'contradiction': ("some of the model's other sentences contradict this one",
                      '模型的部分候选句与本句矛盾'),
    'novelty': ('the images are farther from those of the training than 99 % of these are',
                '影像与训练数据的距离超过 99% 的训练影像'),
    'score': ('the model is less certain of its words than on average (score {score})',
              '模型对本句的把握低于平均水平（得分 {score}）'),
}
#: Inputs that are reasons, in the order in which equal ones are told.
REASON_INPUTS = tuple(_REASONS)


def _of(texts: tuple[str, str], language: str | None) -> str:
    return texts[language == 'zh']


def grade_of(value: float | None, sure: bool | None) -> str:
    """Return the grade of a risk: ``'low'``, ``'medium'``, ``'high'`` or ``'uncalibrated'``.

    Args:
        value: Probability that the answer is wrong, 0 to 1; None without a calibration.
        sure: Whether it lies below the threshold of abstention.
    """
    if value is None:
        return 'uncalibrated'
    if sure is False or round(value, 2) >= NEVER_SURE_FROM:
        return 'high'
    return 'medium' if round(value, 2) >= MEDIUM_FROM else 'low'


def grade_text(grade: str, language: str | None = 'en') -> str:
    """Return a grade in a word or two, for marks and tables."""
    return _of(_GRADES[grade][0], language)


def risk_text(value: float | None, grade: str, language: str | None = 'en', how: bool = True
              ) -> str:
    """Return grade and risk in words: "risk of error 12 %: low".

    Args:
        value: Probability that the answer is wrong; None of one that is not calibrated.
        grade: As :func:`grade_of` returns it.
        language: ``'en'`` or ``'zh'``.
    """
    risk = '' if value is None else percent_text(value, language or 'en')
    told = _of(_GRADES[grade][1], language).format(risk=risk)
    return told + _of(_HOW, language) if how and grade == 'uncalibrated' else told


def no_reason_text(grade: str | None, language: str | None = 'en') -> str:
    """Return what to say where no reason is listed."""
    return _of(_OF_ITS_KIND if grade in ('medium', 'high') else _NOTHING, language)


def doubt_lines(doubts: Mapping[str, Any], language: str = 'en') -> list[tuple[str, str]]:
    """Put doubts about sentences of several languages into words, each with whose it is.

    Args:
        doubts: Language of a sentence -> ``Doubt`` about it.
        language: Of the words.

    Returns:
        (grade, line) of the first line of each doubt, ('', line) of the reasons below it.
    """
    found = []
    for said, doubt in doubts.items():
        head, *reasons = doubt.lines(language) or ['']
        whose = f'  ({said})' if len(doubts) > 1 and head else ''
        found += [(doubt.grade or '', head + whose), *(('', reason) for reason in reasons)]
    return [(grade, line) for grade, line in found if line]


def reason_kind(name: str, language: str | None = 'en') -> str:
    """Return the kind of a reason in a few words; of one that is not known, its name.

    Args:
        name: Its input, ``'sentence_map/count'`` for instance.
        language: ``'en'`` or ``'zh'``.
    """
    return _of(_KINDS[name], language) if name in _KINDS else name.replace('_', ' ')


def reason_texts(name: str, score: float, details: Mapping[str, Mapping[str, object]]
                 ) -> dict[str, str]:
    """Return language -> a reason in a sentence.

    Args:
        name: One of :data:`REASON_INPUTS`.
        score: How much it speaks against the answer, 0 to 1.
        details: Language -> what the sentences mention: ``flag``, ``lacking``, ``said``, ``seen``,
            ``score``, ``limit``, ``resolution``, ``trained``.
    """
    texts = _WEAK.get(name, _REASONS[name]) if score < 0.5 else _REASONS[name]
    told = {}
    for language, text in zip(('en', 'zh'), texts, strict=True):
        values = {'share': percent_text(score, language), **details[language]}
        if values.get('score') is not None:
            values['score'] = decimal_text(values['score'], 2)
        told[language] = text.format(**values)
    return told
