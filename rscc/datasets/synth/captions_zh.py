"""Chinese captions from facts, composed word by word so that the tokens are exact.

The sentences are built as Chinese annotators build them (place first, then what happened), not
translated from the English ones.
"""
from collections.abc import Sequence

from rscc.datasets.synth.captioner import Captioner, words_of
from rscc.datasets.synth.changes import BUILT, REMOVED, Change

NO_CHANGE = (('没有', '差异'), ('两幅', '场景', '看起来', '完全', '相同'),
             ('场景', '和', '之前', '一样'), ('没有', '发生', '变化'),
             ('几乎', '没有', '任何', '变化'))
NOUNS = {
    'house': (('房屋',), ('房屋',), ('房子',), ('住宅',)),
    'building': (('大型', '建筑'), ('大型', '建筑物'), ('建筑物',), ('厂房',)),
    'road': (('道路',), ('道路',), ('公路',)),
    'pond': (('池塘',), ('池塘',), ('湖泊',), ('水池',)),
    'parking lot': (('停车场',),),
    'trees': (('树木',), ('树木',), ('植被',)),
}
COUNTS = {
    'house': {1: ('一栋', '一座'), 2: ('两栋', '两座'), 3: ('三栋', '几栋', '三座'),
              4: ('四栋', '几栋', '数栋')},
    'building': {1: ('一座', '一栋'), 2: ('两座', '两栋')},
    'road': {1: ('一条',)}, 'pond': {1: ('一个', '一处')}, 'parking lot': {1: ('一个', '一处')},
}
MANY = ('许多', '多栋', '很多')
ROW = ('一排',)
FEW_TREES, MANY_TREES = ('一些', '部分'), ('大量', '许多', '大片')
BUILT_VERBS = {
    'house': (('新建', '了'), ('新建', '了'), ('修建', '了'), ('出现', '了'), ('建造', '了'),
              ('建', '起', '了')),
    'building': (('新建', '了'), ('建成', '了'), ('出现', '了'), ('建造', '了')),
    'road': (('修建', '了'), ('新修', '了'), ('新建', '了'), ('出现', '了')),
    'pond': (('出现', '了'), ('开挖', '了'), ('形成', '了')),
    'parking lot': (('修建', '了'), ('新建', '了'), ('出现', '了')),
    'trees': (('种植', '了'), ('栽种', '了'), ('新增', '了')),
}
REMOVED_VERBS = {
    'house': (('被', '拆除'), ('被', '拆除', '了'), ('消失', '了')),
    'building': (('被', '拆除'), ('被', '拆除', '了'), ('消失', '了')),
    'road': (('消失', '了'), ('被', '移除', '了')),
    'pond': (('消失', '了'), ('被', '填平', '了'), ('被', '填平')),
    'parking lot': (('被', '拆除', '了'), ('消失', '了')),
    'trees': (('被', '移除'), ('被', '砍伐'), ('消失', '了'), ('被', '清除', '了')),
}
SIDES = {'top': (('上方',), ('顶部',), ('场景', '上方')),
         'bottom': (('下方',), ('底部',), ('场景', '底部')),
         'left': (('左侧',), ('左边',), ('场景', '左侧')),
         'right': (('右侧',), ('右边',), ('场景', '右侧')),
         'center': (('中央',), ('中间',), ('场景', '中央')),
         'top left': (('左上角',), ('左上方',), ('场景', '左上角')),
         'top right': (('右上角',), ('右上方',), ('场景', '右上角')),
         'bottom left': (('左下角',), ('左下方',), ('场景', '左下角')),
         'bottom right': (('右下角',), ('右下方',), ('场景', '右下角'))}
GROUNDS = {'meadow': (('草地', '上'), ('草地', '上'), ('草坪', '上')),
           'bareland': (('裸地', '上'), ('空地', '上')),
           'desert': (('沙漠', '中'), ('沙地', '上')), 'farmland': (('农田', '里'), ('田地', '里')),
           'woods': (('树林', '中'), ('林地', '中'))}
GROUND_NOUNS = {'meadow': '草地', 'bareland': '裸地', 'desert': '沙地', 'farmland': '农田'}
RELATIONS = {'along': (('道路', '旁'), ('路边',)), 'row': (('道路', '旁'), ('道路', '一侧')),
             'both sides': (('道路', '两侧'), ('道路', '两旁'))}
CONNECTORS = ('和', '的', '，', '取代', '了', '变成', '在', '出现', '原来')
Tokens = tuple[str, ...]


class ChineseCaptioner(Captioner):
    """Says in Chinese what changed; sentences are tuples of words."""

    NO_CHANGE = NO_CHANGE

    def sentence(self, changes: Sequence[Change]) -> Tokens:
        """Return one sentence on a pair's changes, the most conspicuous always among them."""
        trees = [c for c in changes if c.kind == 'trees' and c.action == REMOVED]
        built = [c for c in changes if c.action == BUILT]
        lost = [c for c in changes if c.action == REMOVED and c.kind != 'trees']
        if built and (lost or (trees and self.chance(0.7))):
            return self._replacement((lost or trees)[0], built)
        if len(built) == 2 and self.chance(0.75):
            return self._together(*built)
        return self._alone((built or lost or trees)[0])

    def noun_phrase(self, change: Change) -> Tokens:
        """Return measure word and noun."""
        noun = self.pick(NOUNS[change.kind])
        if change.kind == 'trees':
            amount = self.pick(MANY_TREES if change.count >= 40 else FEW_TREES)
        elif change.relation == 'row' and self.chance(0.65):
            amount = ROW[0]
        else:
            amount = self.pick(COUNTS[change.kind].get(change.count, MANY))
        return (amount, *noun)

    def place(self, change: Change, share: float = 1.0) -> Tokens:
        """Return place words: part of the image, ground or road, mostly one or two of them."""
        parts: list[Tokens] = []
        if change.where != 'scene' and self.chance(0.6 * share):
            parts.append(self.pick(SIDES[change.where]))
        if change.relation and self.chance(0.7 * share):
            parts.append(self.pick(RELATIONS[change.relation]))
        elif change.kind != 'trees' and self.chance(0.5 * share):
            ground = self.pick(GROUNDS[change.ground])
            parts.append(ground)
        if len(parts) == 2 and change.action == BUILT and self.chance(0.4):
            parts.insert(1, ('的',))
        return sum(parts, ())

    def built_clause(self, change: Change, place: Tokens) -> Tokens:
        """Return '道路两侧新建了几栋房屋', or with the object first."""
        subject = self.noun_phrase(change)
        if place and change.kind != 'trees' and self.chance(0.12):
            return (*subject, '出现', '在', *place)
        return (*place, *self.pick(BUILT_VERBS[change.kind]), *subject)

    def removed_clause(self, change: Change, place: Tokens) -> Tokens:
        """Return '左侧的两栋房屋被拆除了'."""
        of = ('的',) if place else ()
        return (*place, *of, *self.noun_phrase(change),
                *self.pick(REMOVED_VERBS[change.kind]))

    def _alone(self, change: Change) -> Tokens:
        if change.kind in ('pond', 'parking lot') and change.ground != 'woods' \
                and self.chance(0.2):
            return self._conversion(change)
        make = self.built_clause if change.action == BUILT else self.removed_clause
        return make(change, self.place(change))

    def _conversion(self, change: Change) -> Tokens:
        """Return '下方的裸地变成了池塘' or its reverse."""
        place = () if change.where == 'scene' else (*self.pick(SIDES[change.where]), '的')
        noun, ground = self.pick(NOUNS[change.kind]), (GROUND_NOUNS[change.ground],)
        old, new = (ground, noun) if change.action == BUILT else (noun, ground)
        return (*place, *old, '变成', '了', *new)

    def _together(self, first: Change, second: Change) -> Tokens:
        """Return one sentence on two things built together."""
        if second.relation and self.chance(0.55):
            return (*self.built_clause(first, self.place(first, 0.7)), '，',
                    *self.pick(RELATIONS[second.relation]),
                    *self.pick(BUILT_VERBS[second.kind]), *self.noun_phrase(second))
        place = self.place(first, 0.8) if first.where == second.where else ()
        return (*place, *self.pick(BUILT_VERBS['building']), *self.noun_phrase(first), '和',
                *self.noun_phrase(second))

    def _built(self, built: Sequence[Change]) -> Tokens:
        phrase = self.noun_phrase(built[0])
        if len(built) > 1 and self.chance(0.75):
            phrase = (*phrase, '和', *self.noun_phrase(built[1]))
        return phrase

    def _replacement(self, lost: Change, built: Sequence[Change]) -> Tokens:
        """Return one sentence on what gave way to what."""
        place: Tokens = ()
        if lost.where == built[0].where != 'scene' and self.chance(0.5):
            place = self.pick(SIDES[lost.where])
        of = ('的',) if place else ()
        if self.chance(0.6):
            return (*place, *of, *self.noun_phrase(lost), *self.pick(REMOVED_VERBS[lost.kind]),
                    '，', *self.pick(BUILT_VERBS[built[0].kind]), *self._built(built))
        old = self.pick(NOUNS[lost.kind])
        if self.chance(0.5):
            return (*place, *of, *self._built(built), '取代', '了', '原来', '的', *old)
        return (*place, *of, *old, '变成', '了', *self._built(built))


VOCABULARY = tuple(sorted(words_of((
    NO_CHANGE, NOUNS, COUNTS, MANY, ROW, FEW_TREES, MANY_TREES, BUILT_VERBS, REMOVED_VERBS, SIDES,
    GROUNDS, GROUND_NOUNS, RELATIONS, CONNECTORS))))
