"""Chinese direction words: compounds, and single characters where they name a side.

上 in 道路上 (on the road) or 以上 (more than), 东西 (things) and the like stay as they are.
"""
import re
from collections.abc import Mapping

_SIDE_OF = {'上': 'top', '下': 'bottom', '左': 'left', '右': 'right',
            '北': 'top', '南': 'bottom', '西': 'left', '东': 'right',
            '顶': 'top', '底': 'bottom'}
_PICTURE = {'top': '上', 'bottom': '下', 'left': '左', 'right': '右'}
_COMPASS = {'top': '北', 'bottom': '南', 'left': '西', 'right': '东'}
_EDGES = {'top': '顶', 'bottom': '底'}

# 上 and 下 name a side of the picture only before these; after 以 or 之 never.
_PART = r'(?=[方部侧角边端半])'
_UNIT = re.compile(
    r'(?P<corner>[左右][上下]|[上下][左右]|[东西][南北])'
    r'|(?P<span>左右|上下(?=[两二]|方向|走向|相)|东西(?=[两二]|走?向|方向)|南北)'
    rf'|(?P<edge>[顶底])(?=[部端])'
    rf'|(?<![以之])(?P<up>[上下]){_PART}'
    r'|(?P<side>[左右])'
    r'|(?P<compass>(?<=[向朝往从自靠正])[东南西北]|[东南西北](?=[侧部边面方端角向岸]))')
# "About ten houses": not a place; on top of it; a building's own top.
_UNSAFE = re.compile(r'(?<=[个栋座条排幢棵块十百\d])左右(?![两侧边])|左右不一|上下文'
                     r'|(?:屋|建筑|建筑物|楼|房|房屋)的?[顶底][部端]')
_UPRIGHT_UNSAFE = re.compile(r'(?<![右左以之])[上下]面')
_QUARTER_UNSAFE = re.compile(
    r'垂直|水平|纵向|横向|竖|对角|[左右]转|左右(?![两二])|上下(?![两二])|东西|南北')

_CENTER = re.compile(r'(?<!市)中[央间](?!的?[道马公]?路)|中部|中心(?!小学|区)|正中')


def mentions_direction(sentence: str) -> bool:
    """Return whether the sentence names a side, a corner or a compass point."""
    return bool(_UNIT.search(_UNSAFE.sub('', sentence)))


def places_named(sentence: str) -> list[frozenset[str]]:
    """Return the sides of every place a sentence names; see ``directions``."""
    text = _UNSAFE.sub(lambda match: '　' * len(match.group()), sentence)
    found = [(match.start(), frozenset({'center'})) for match in _CENTER.finditer(text)]
    found += [(match.start(), frozenset(_SIDE_OF[character] for character in match.group()))
              for match in _UNIT.finditer(text) if not match['span']]
    return [sides for _, sides in sorted(found, key=lambda place: place[0])]


def is_unsafe(sentence: str, operation: str) -> bool:
    """Return whether a sentence has words that ``operation`` cannot change safely."""
    if _UNSAFE.search(sentence):
        return True
    if operation != 'hflip' and _UPRIGHT_UNSAFE.search(sentence):
        return True
    return operation in ('rot90', 'rot270', 'any') and bool(_QUARTER_UNSAFE.search(sentence))


def move(sentence: str, sides: Mapping[str, str]) -> str:
    """Return the sentence with every direction word moved.

    Args:
        sentence: A caption for which :func:`is_unsafe` is False.
        sides: Where each side of the picture lands.
    """
    return _UNIT.sub(lambda match: _moved(match, sides), sentence)


def _moved(match: re.Match, sides: Mapping[str, str]) -> str:
    word = match.group()
    landed = [sides[_SIDE_OF[character]] for character in word]
    if match['span']:
        # "On both sides, left and right" names a pair: its order carries nothing.
        return {'top': '上下', 'bottom': '上下', 'left': '左右', 'right': '左右'}[landed[0]] \
            if word in ('左右', '上下') else word
    if match['corner']:
        names = _COMPASS if word[0] in '东西' else _PICTURE
        sideways = next(side for side in landed if side in ('left', 'right'))
        upright = next(side for side in landed if side in ('top', 'bottom'))
        order = (sideways, upright) if word[0] in '左右东西' else (upright, sideways)
        return ''.join(names[side] for side in order)
    if match['edge']:
        return _EDGES.get(landed[0]) or _PICTURE[landed[0]]
    return (_COMPASS if match['compass'] else _PICTURE)[landed[0]]
