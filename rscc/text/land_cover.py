"""Names of what land is covered by: in Chinese, and as sentences call it."""
from collections.abc import Mapping

from rscc.text.class_names import class_names

#: Between the two classes of a transition's name.
ARROW = ' → '
#: English name of a class -> Chinese; other names are shown as a dataset writes them.
CHINESE = {
    'none': '无标注', 'unchanged': '未变化', 'changed': '变化', 'change': '变化',
    'building': '建筑物', 'road': '道路', 'vegetation': '植被', 'tree': '树木', 'water': '水体',
    'parking lot': '停车场', 'grassland': '草地', 'bare land': '裸地', 'desert': '沙漠',
    'farmland': '农田', 'pavement': '铺装地面', 'ground': '地表', 'low vegetation': '低矮植被',
    'sports field': '运动场', 'playground': '运动场', 'artificial': '人造地表',
    'agricultural': '农业用地', 'forest': '林地', 'wetland': '湿地'}
#: Class -> what an English sentence calls it: things in the plural, a noun for an adjective.
_ENGLISH = {
    'agricultural': 'agricultural land', 'artificial': 'artificial surfaces',
    'building': 'buildings', 'ground': 'bare ground', 'parking lot': 'parking lots',
    'playground': 'playgrounds', 'road': 'roads', 'sports field': 'sports fields', 'tree': 'trees'}


def called(name: str, language: str, words: Mapping[str, str] | None = None) -> str:
    """Return what a sentence calls a class; its own name where nothing better is known.

    Args:
        name: English name of the class.
        language: ``'en'`` or ``'zh'``.
        words: Class -> what sentences call it, which goes first.
    """
    if words and name in words:
        return words[name]
    return class_text(name, 'zh') if language == 'zh' else _ENGLISH.get(name.lower(), name)


def class_text(name: str, language: str) -> str:
    """Return the name of a class, or of a transition, as legends and tables of a language show it.

    Args:
        name: English name, "farmland" or "farmland → building".
        language: ``'en'`` or ``'zh'``; names that have no Chinese one stay as they are.
    """
    return ARROW.join(map(_chinese, name.split(ARROW))) if language == 'zh' else name


def _chinese(name: str) -> str:
    known = CHINESE.get(name.lower())
    if known is not None:
        return known
    names = 'remote_sensing_56'
    return dict(zip(class_names(names), class_names(names, 'zh'), strict=True)).get(
        name.lower(), name)
