"""Words for what the pair check finds, in English and Chinese: numbers, dates and advice alike.

Terminal, reports and the web page take their words from here. Both languages of a message are
written from one call, so that neither can leave out a number, a date or what to do.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: Message -> English and Chinese text. Options of the command line stand as they are typed.
MESSAGES = {
    # ---- how parts are joined, and what fills places in others ----
    'and': (' and ', ' 和 '),
    'also': ('; ', '；'),
    'range': ('{low} to {high}', '{low} 至 {high}'),
    'range_percentile': ('2 to 98 % of each band', '各波段的 2% 至 98%'),
    # ---- crs ----
    'no_place': ('no place on the map', '无地理位置'),
    'no_system': ('no coordinate system', '无坐标系'),
    'crs_assumed': (': taken to be the same, as you said (--assume-same-grid)',
                    '：已按您的要求视为相同（--assume-same-grid）'),
    'crs_warped': (': the later date is warped onto the earlier one while it is read',
                   '：读取时把后时相变换到前时相的坐标系'),
    'crs_pixels': ('; the dates are compared pixel by pixel, and results have no place either',
                   '；两个时相逐像素比较，结果同样没有地理位置'),
    # ---- pixel_size ----
    'size': ('{size:.3g} m', '{size:.3g} 米'),
    'size_unknown': ('unknown', '未知'),
    'size_of_training': ('; the weights were trained on pixels of {trained:g} m',
                         '；权重用 {trained:g} 米的像素训练'),
    'size_training_unknown': ('; what the weights were trained on is not known',
                              '；不知道权重用多大的像素训练'),
    'size_trained': ('; the weights were trained on {trained:g} m',
                     '；权重用 {trained:g} 米的像素训练'),
    'size_larger': ('things look {times:.2g} times larger than those that the weights know. '
                    '{remedy}', '地物看起来是权重所见的 {times:.2g} 倍大。{remedy}'),
    'size_smaller': ('things look {times:.2g} times smaller than those that the weights know. '
                     '{remedy}', '地物看起来比权重所见的小，相差 {times:.2g} 倍。{remedy}'),
    'size_tiles': ('Bring the tiles to pixels of {trained:g} m first',
                   '请先把各瓦片重采样到 {trained:g} 米的像素'),
    'size_command': ('This brings it to theirs: {command}',
                     '用此命令重采样到训练时的大小：{command}'),
    'size_detail': ('pixels of the later date are {times:.3g} times as wide: details that it lacks '
                    'may look like changes. Bring the earlier date to {size:.3g} m first',
                    '后时相的像素边长是前时相的 {times:.3g} 倍：后时相缺少的细节看起来可能像变化。'
                    '请先把前时相重采样到 {size:.3g} 米'),
    # ---- overlap ----
    'overlap': ('the later date covers {share} of the earlier one', '后时相覆盖了前时相的 {share}'),
    'overlap_little': ('; the rest gets no answer. Are these the right files?',
                       '；其余部分没有结果。文件选对了吗？'),
    # ---- nodata ----
    'nodata_none': ('every pixel holds data', '所有像素都有数据'),
    'nodata_one': ('{first} of the pixels lack data or are damaged',
                   '{first} 的像素无数据或已损坏'),
    'nodata_both': ('{first} of the pixels of the earlier date and {second} of the later one lack '
                    'data or are damaged, {all} in all',
                    '前时相 {first} 的像素和后时相 {second} 的像素无数据或已损坏，合计 {all}'),
    'nodata_all': (': look at the files, their nodata value and alpha band, and any area of '
                   'interest', '：请检查文件、其无数据值和 alpha 波段，以及关注区域'),
    'nodata_much': ('; they get no answer', '；这些像素没有结果'),
    # ---- bands ----
    'bands': ('{counts} bands', '{counts} 个波段'),
    'bands_one': ('{counts} band', '{counts} 个波段'),
    'bands_colours': (', of which {shown} are shown as red, green and blue',
                      '，其中 {shown} 显示为红、绿、蓝'),
    'bands_single': (', of which {shown} is shown as grey', '，其中 {shown} 显示为灰度'),
    'bands_read': (' and {read} are read by the model', '，模型读取 {read}'),
    'bands_grey': (': one date is grey and the other has colours, so that every pixel would seem '
                   'to have changed. Convert both to grey, or get the colours of the other',
                   '：一个时相是灰度影像，另一个是彩色影像，每个像素看起来都会像变化。请把两者都转为灰度，'
                   '或换用另一时相的彩色版本'),
    'bands_differ': (': make sure that bands of the same number show the same light at both dates',
                     '：请确认编号相同的波段在两个时相对应相同的光谱'),
    'bands_trained': ('; the weights were trained with --bands {trained}',
                      '；权重训练时用的是 --bands {trained}'),
    # ---- depth ----
    'depth_range': (', of which {ranges} become 0 to 255', '，其中 {ranges} 变换为 0 至 255'),
    'depth_types': ('the dates are of different types: equal values may mean different light. '
                    "Convert one, or say --scale percentile, which takes each date's own range",
                    '两个时相的数值类型不同，相同的数值可能对应不同的亮度。请转换其中一个，'
                    '或用 --scale percentile，它按每个时相各自的范围取值'),
    'depth_clipped': ('{share} of a band become black or white: try other values for --scale, or '
                      'percentile',
                      '某个波段有 {share} 变成黑或白：请试试 --scale 的其他值，或 percentile'),
    'depth_trained': ('the weights were trained with --scale {trained}',
                      '权重训练时用的是 --scale {trained}'),
    # ---- shift ----
    'shift_untold': ('nowhere is there enough texture or data to tell',
                     '没有任何地方有足够的纹理或数据可供判断'),
    'shift_unsure': ('unsure: windows that agree: {agreeing} of {windows}. Look whether both dates '
                     'show the same place; --align would move nothing',
                     '不确定：一致的窗口 {agreeing} / {windows} 个。请查看两个时相是否为同一地点；'
                     '--align 不会移动任何内容'),
    'shift_none': ('less than {least} pixels (windows that agree: {agreeing} of {windows})',
                   '不足 {least} 像素（一致的窗口 {agreeing} / {windows} 个）'),
    'shift_found': ('the later date shows things {across:.2f} pixels {side} and {along:.2f} {way} '
                    '(windows that agree: {agreeing} of {windows})',
                    '后时相中的地物{side} {across:.2f} 像素、{way} {along:.2f} 像素'
                    '（一致的窗口 {agreeing} / {windows} 个）'),
    'right': ('right', '偏右'), 'left': ('left', '偏左'),
    'down': ('down', '偏下'), 'up': ('up', '偏上'),
    'shift_far': (': outlines of what stayed may look like changes. --align moves it back',
                  '：未变化物体的轮廓看起来可能像变化。--align 会把它移回'),
    # ---- light ----
    'light': ("the later date differs by {gap} grey levels (red/green/blue), its contrast is "
              "{ratio} times the earlier one's",
              '后时相相差 {gap} 个灰度级（红/绿/蓝），对比度是前时相的 {ratio} 倍'),
    'light_far': (': --match-histogram brings it to the values of the earlier date',
                  '：--match-histogram 会使它与前时相的数值一致'),
    # ---- clouds and haze ----
    'clouds_none': ('no hint of them', '没有云的迹象'),
    'clouds_earlier': ('a hint only: {share} of the earlier date are bright, colourless and even, '
                       'and are not so at the other one. Look at it; clouds and their shadows look '
                       'like changes',
                       '仅为迹象：前时相有 {share} 明亮、无色且均匀，另一时相并非如此。请查看；'
                       '云和云影看起来像变化'),
    'clouds_later': ('a hint only: {share} of the later date are bright, colourless and even, and '
                     'are not so at the other one. Look at it; clouds and their shadows look like '
                     'changes',
                     '仅为迹象：后时相有 {share} 明亮、无色且均匀，另一时相并非如此。请查看；'
                     '云和云影看起来像变化'),
    'haze_none': ('no hint of it', '没有雾霾的迹象'),
    'haze_earlier': ('a hint only: the darkest parts of the earlier date are {levels:.0f} grey '
                     'levels lighter than those of the other, and its contrast is lower. Haze and '
                     'thin cloud do that; --match-histogram takes off what is even',
                     '仅为迹象：前时相最暗处比另一时相亮 {levels:.0f} 个灰度级，对比度也更低。'
                     '雾霾和薄云会造成这种情况；--match-histogram 能去掉其中均匀的部分'),
    'haze_later': ('a hint only: the darkest parts of the later date are {levels:.0f} grey levels '
                   'lighter than those of the other, and its contrast is lower. Haze and thin '
                   'cloud do that; --match-histogram takes off what is even',
                   '仅为迹象：后时相最暗处比另一时相亮 {levels:.0f} 个灰度级，对比度也更低。'
                   '雾霾和薄云会造成这种情况；--match-histogram 能去掉其中均匀的部分'),
    # ---- grids ----
    'grids': ('{reason}', '两幅影像无法放到同一格网上，请按下面的说明处理。说明（英文）：{reason}'),
}
_LANGUAGES = ('en', 'zh')


class Share(float):
    """A share of 0 to 1, told in per cent."""


@dataclass(frozen=True)
class Told:
    """A message in both languages; messages are added to longer ones.

    Attributes:
        en: In English.
        zh: In Chinese.
    """
    en: str = ''
    zh: str = ''

    @classmethod
    def plain(cls, text: object) -> 'Told':
        """Return what is the same in every language: names, types of values."""
        return cls(str(text), str(text))

    @property
    def texts(self) -> dict[str, str]:
        """Language -> text."""
        return {language: getattr(self, language) for language in _LANGUAGES}

    def __add__(self, other: 'Told') -> 'Told':
        return Told(self.en + other.en, self.zh + other.zh)


def tell(name: str, /, **values: Any) -> Told:
    """Return a message with its values filled in, in both languages.

    Args:
        name: A key of :data:`MESSAGES`.
        **values: What it mentions; :class:`Share` and :class:`Told` are written in each language.
    """
    return Told(*(text.format(**{key: _shown(value, language) for key, value in values.items()})
                  for language, text in zip(_LANGUAGES, MESSAGES[name], strict=True)))


def joined(parts: Iterable[Told | object], by: str = 'and') -> Told:
    """Return different parts as one: ``'1 and 3'``.

    Args:
        parts: Messages, or what is the same in every language; equal ones are told once.
        by: The message between two of them.
    """
    first, *rest = dict.fromkeys(part if isinstance(part, Told) else Told.plain(part)
                                 for part in parts)
    for part in rest:
        first = first + tell(by) + part
    return first


def _shown(value: Any, language: str) -> Any:
    if isinstance(value, Share):
        return percent(value, language)
    return value.texts[language] if isinstance(value, Told) else value


def percent(share: float, language: str = 'en') -> str:
    """Return a share for people: whole per cents, more exact near 0 and 100.

    Args:
        share: 0 to 1.
        language: ``'en'`` or ``'zh'``.
    """
    number, mark = 100 * share, '%' if language == 'zh' else ' %'
    if 0 < number < 0.1 or 99.9 < number < 100:
        return f'< 0.1{mark}' if number < 1 else f'> 99.9{mark}'
    return f'{number:.{0 if number in (0, 100) or 1 <= number <= 99 else 1}f}{mark}'
