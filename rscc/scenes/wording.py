"""Numbers of a scene put into English or Chinese sentences."""
from collections.abc import Mapping, Sequence
from typing import Any

from rscc.text.doubts import CALIBRATE
from rscc.text.land_cover import class_text
from rscc.text.quantities import area_text, percent_text, pixels_text, share_text
from rscc.text.transitions import became
from rscc.utils import check_choice, counted

#: Said of every answer of a model that no real image has trained, per language.
RENDERED_NOTE = {
    'en': 'This model has seen rendered images only: on real images its answers are a '
          'demonstration, no measurement.',
    'zh': '该模型只用渲染影像训练过：对真实影像，其结果仅作演示，不能当作测量。',
}
#: Names of the one class of a map that only tells changed from unchanged.
_PLAIN = ('changed', 'change')
_MOST_SAID = 3  # sentences quoted where sentences are all that there is
_MOST_TRANSITIONS = 4  # told one by one


def summary_sentences(summary: Mapping[str, Any], language: str) -> tuple[str, list[str]]:
    """Put the numbers of ``summary.json`` into words.

    Args:
        summary: Those of :func:`rscc.scenes.summary.summarise`, before the words.
        language: ``'en'`` or ``'zh'``.

    Returns:
        The verdict in a few words without a full stop, and whole sentences that begin with it.

    Raises:
        ValueError: If the language is another one.
    """
    check_choice('language', language, _WORDINGS)
    words = _WORDINGS[language](summary)
    verdict, details = words.findings()
    sentences = [verdict + details + words.stop]
    if summary['pixels']['examined']:
        sentences += [*words.without_data(), *words.gaps(), *words.left_out(), *words.most_said()]
        sentences += [doubt_sentence(summary['doubt'], language)] if summary['doubt'] else []
    else:
        sentences += words.gaps()
    if summary['note']:
        sentences.append(RENDERED_NOTE[language])
    return verdict, sentences


def doubt_sentence(doubt: Mapping[str, Any], language: str) -> str:
    """Say how far the sentences of a scene can be trusted.

    Args:
        doubt: ``grades`` and ``mean`` of :func:`rscc.scenes.summary.summarise`.
        language: ``'en'`` or ``'zh'``.
    """
    grades, chinese = doubt['grades'], language == 'zh'
    count, high = sum(grades.values()), grades['high']
    if doubt['mean'] is None:
        return (f'描述的出错风险未知：模型未标定（{CALIBRATE}）。' if chinese else
                'The risk of error of the sentences is unknown: the model is not calibrated '
                f'({CALIBRATE}).')
    risk = percent_text(doubt['mean'], language)
    if chinese and count == 1:
        return f'唯一窗口的描述出错风险为 {risk}{"，不确定" if high else ""}。'
    if chinese:
        return f'{count:,} 个窗口的描述平均出错风险为 {risk}，其中 {high:,} 个风险过高，不确定。'
    if count == 1:
        return (f'The sentence of its one window has a risk of error of {risk}'
                f'{" and is not sure" if high else ""}.')
    return (f'The sentences of {counted(count, "window")} have a mean risk of error of {risk}; '
            f'{high:,} of them {"is" if high == 1 else "are"} not sure.')


class _Wording:
    """What both languages share: which numbers are told."""

    language: str
    stop: str

    def __init__(self, summary: Mapping[str, Any]):
        self.summary = summary
        self.regions, self.windows = summary['regions'], summary['windows']
        self.heads = summary['model']['heads']
        self.single = summary['model']['task'] == 'single'

    def findings(self) -> tuple[str, str]:
        """Return the verdict, and what is added to it in its sentence."""
        if not self.summary['pixels']['examined']:
            return self.no_data(), ''
        if 'change_head' in self.heads:
            return self.map_findings()
        if 'caption_head' in self.heads:
            return self.caption_findings(), ''
        return self.no_heads(), ''

    def map_findings(self) -> tuple[str, str]:
        count = self.regions['count']
        if not count:
            return self.nothing(), ''
        became = [row for row in self.summary['transitions'] if row['regions']]
        parts = [row for row in self.summary['classes'] if row['regions']]
        verdict = self.changed(count, self.size(self.regions))
        if len(parts) == 1 and parts[0]['class'] in _PLAIN:
            return verdict, ''
        return verdict, self.became(became) if became else self.parts(parts)

    def size(self, row: Mapping[str, Any]) -> str:
        """Write the area of a row, or its pixels where the scene has no place."""
        if row['area_m2'] is None:
            return pixels_text(row['pixels'], self.language)
        return area_text(row['area_m2'], self.language, self.regions['area_m2'])

    def smallest(self) -> str:
        """Write the area below which regions are left out."""
        if self.summary['area_by'] is None:
            return pixels_text(round(self.regions['min_area']), self.language)
        return area_text(self.regions['min_area'], self.language)

    def said(self) -> Sequence[tuple[str, int]]:
        """Return the sentences to quote, each with its number of windows."""
        rows = self.summary['best_sentences']
        if self.single:
            return [(row['sentence'], row['windows']) for row in rows[:_MOST_SAID]]
        most = 1 if 'change_head' in self.heads else _MOST_SAID
        return [(row['sentence'], row['changed_windows']) for row in rows[:most]
                if row['changed_windows']]


class _English(_Wording):
    language, stop = 'en', '.'

    def no_data(self) -> str:
        if self.summary['area_of_interest']:
            return 'No data lies in the area of interest'
        return 'The scene holds no data'

    def no_heads(self) -> str:
        return 'The model gives neither a map nor sentences'

    def nothing(self) -> str:
        if self.regions['left_out']:
            return f'No changed region of {self.smallest()} or more was found'
        if self.windows['changed']:
            told = counted(self.windows['changed'], 'window')
            verb = 'tells' if self.windows['changed'] == 1 else 'tell'
            return f'The map shows no change, while {told} {verb} of change'
        return 'No change was found'

    def changed(self, count: int, size: str) -> str:
        share = ''
        if self.regions['area_m2'] is None:
            whole = 'the pixels with an answer' if self.summary['nodata_share'] else 'the scene'
            share = f', {share_text(self.regions["share"], "en")} of {whole}'
        return f'{counted(count, "region")} changed, {size}{" together" * (count > 1)}{share}'

    def parts(self, rows: Sequence[Mapping[str, Any]]) -> str:
        if len(rows) == 1:
            return f'{", all of them" if self.regions["count"] > 1 else ":"} {rows[0]["class"]}'
        return ': ' + ', '.join(f'{row["regions"]:,} of {row["class"]} ({self.size(row)})'
                                for row in rows)

    def became(self, rows: Sequence[Mapping[str, Any]]) -> str:
        told = [f'{became(row["from"], row["to"], "en")}, {self.size(row)}'
                for row in rows[:_MOST_TRANSITIONS]]
        more = len(rows) - len(told)
        return ': ' + '; '.join(told) + (f'; {counted(more, "other transition")}' if more else '')

    def caption_findings(self) -> str:
        described, changed = self.windows['described'], self.windows['changed']
        if not described:
            return 'No window was described'
        if self.single:
            return (f'{counted(described, "window")} '
                    f'{"was" if described == 1 else "were"} described')
        if not changed:
            return ('The one window that was described tells of no change' if described == 1 else
                    f'None of the {described:,} windows that were described tells of change')
        return (f'{changed:,} of {counted(described, "described window")} '
                f'{"tells" if changed == 1 else "tell"} of change')

    def without_data(self) -> list[str]:
        share = self.summary['nodata_share']
        if not share:
            return []
        where = ('lies outside the area of interest or holds no data'
                 if self.summary['area_of_interest'] else 'holds no data')
        return [f'{_capital(share_text(share, "en"))} of the scene {where}.']

    def gaps(self) -> list[str]:
        count = len(self.summary['gaps'])
        if not count:
            return []
        return [f'{counted(count, "part")} of the scene could not be read and '
                f'{"has" if count == 1 else "have"} no answer.']

    def left_out(self) -> list[str]:
        count = self.regions['left_out']
        if not count:
            return []
        return [f'{counted(count, "region")} smaller than {self.smallest()} '
                f'{"is" if count == 1 else "are"} not counted.']

    def most_said(self) -> list[str]:
        said = ', '.join(f"'{text}' ({counted(count, 'window')})" for text, count in self.said())
        return [f'Most said: {said}.'] if said else []


class _Chinese(_Wording):
    language, stop = 'zh', '。'

    def no_data(self) -> str:
        return '感兴趣区内没有数据' if self.summary['area_of_interest'] else '场景中没有数据'

    def no_heads(self) -> str:
        return '该模型既不输出变化图，也不输出描述'

    def nothing(self) -> str:
        if self.regions['left_out']:
            return f'未发现 {self.smallest()}及以上的变化区域'
        if self.windows['changed']:
            return f'变化图未显示变化，但有 {self.windows["changed"]:,} 个窗口的描述提到变化'
        return '未发现变化'

    def changed(self, count: int, size: str) -> str:
        share = ''
        if self.regions['area_m2'] is None:
            whole = '有结果的像素' if self.summary['nodata_share'] else '场景'
            share = f'，占{whole}的 {share_text(self.regions["share"], "zh")}'
        return f'发现 {count:,} 处变化区域，{"合计" if count > 1 else "面积"} {size}{share}'

    def parts(self, rows: Sequence[Mapping[str, Any]]) -> str:
        if len(rows) == 1:
            every = '均为' if self.regions['count'] > 1 else '类别为'
            return f'，{every}{_spaced(class_text(rows[0]["class"], "zh"))}'
        return '：' + '，'.join(
            f'{class_text(row["class"], "zh")} {row["regions"]:,} 处（{self.size(row)}）'
            for row in rows)

    def became(self, rows: Sequence[Mapping[str, Any]]) -> str:
        told = [f'{became(row["from"], row["to"], "zh")}，{self.size(row)}'
                for row in rows[:_MOST_TRANSITIONS]]
        more = len(rows) - len(told)
        return '：' + '；'.join(told) + (f'；另有 {more:,} 种转变' if more else '')

    def caption_findings(self) -> str:
        described, changed = self.windows['described'], self.windows['changed']
        if not described:
            return '没有生成描述的窗口'
        if self.single:
            return f'共为 {described:,} 个窗口生成了描述'
        if not changed:
            return f'生成描述的 {described:,} 个窗口均未提到变化'
        return f'生成描述的 {described:,} 个窗口中，有 {changed:,} 个提到变化'

    def without_data(self) -> list[str]:
        share = self.summary['nodata_share']
        if not share:
            return []
        where = '位于感兴趣区之外或没有数据' if self.summary['area_of_interest'] else '没有数据'
        return [f'场景中 {share_text(share, "zh")} 的像素{where}。']

    def gaps(self) -> list[str]:
        count = len(self.summary['gaps'])
        return [f'场景中有 {count:,} 处无法读取，这些位置没有结果。'] if count else []

    def left_out(self) -> list[str]:
        count = self.regions['left_out']
        return [f'另有 {count:,} 处小于 {self.smallest()}的区域未计入。'] if count else []

    def most_said(self) -> list[str]:
        said = '，'.join(f'“{text}”（{count:,} 个窗口）' for text, count in self.said())
        return [f'出现最多的描述：{said}。'] if said else []


_WORDINGS = {'en': _English, 'zh': _Chinese}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _spaced(text: str) -> str:
    """Set a blank before Latin letters that follow Chinese ones."""
    return f' {text}' if text[:1].isascii() else text
