"""Chinese captions of rendered changes and of single rendered images.

The sentences are built as Chinese annotators build them (place first, then what happened or what is
there), not translated from the English ones. Words are cut as jieba cuts them. Tables of pairs come
first, those of single images after them.
"""
from collections.abc import Sequence

from rscc.synth.captioner import Captioner, SceneCaptioner, SceneMetadata, words_of
from rscc.synth.changes import BUILT, REMOVED, Change

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
    """Chinese sentences about changes, as tuples of words."""

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
        elif change.kind != 'trees' and self.chance(0.5 * share) and change.ground:
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


SCENE_GROUNDS = {'meadow': (('草地',), ('草坪',)), 'bareland': (('裸地',), ('空地',)),
                 'desert': (('沙漠',), ('沙地',)), 'farmland': (('农田',), ('田地',)),
                 'woods': (('树林',), ('森林',))}
# jieba takes 裸地上 apart as 裸 地上, so places on bare land are called otherwise.
PLACES = {'meadow': (('草地', '上'), ('草坪', '上')), 'bareland': (('空地', '上'), ('荒地', '上')),
          'desert': (('沙漠', '里'), ('沙地', '上')), 'farmland': (('农田', '里'), ('田地', '里')),
          'woods': (('树林', '里'), ('森林', '里'))}
HOUSES = {1: (('一栋',), ('一座',)), 2: (('两栋',), ('两座',)), 3: (('三栋',), ('几栋',)),
          4: (('几栋',), ('一些',))}
MANY_HOUSES = (('许多',), ('很多',), ('大量',))
HOUSE_NOUNS = (('房屋',), ('房屋',), ('房子',))
AREAS = ((3, (('稀疏', '的', '住宅区'),)), (8, (('住宅区',),)),
         (10 ** 6, (('密集', '的', '住宅区'), ('住宅区',))))
BUILDINGS = {1: (('一座', '大型', '建筑'), ('一座', '大型', '建筑物')),
             2: (('两座', '大型', '建筑'),)}
MANY_BUILDINGS = (('几座', '大型', '建筑'),)
ROADS = {1: (('一条', '道路'), ('一条', '公路')), 2: (('两条道路',), ('几条', '道路'))}
MANY_ROADS = (('三条', '道路'), ('几条', '道路'))
LOTS = {1: (('一个', '停车场'),)}
MANY_LOTS = (('两个', '停车场'),)
WATER = (('一片', '水域'), ('一处', '水面'))
SOME_TREES = (('一些', '树木'), ('几棵', '树'))
SCENE_MANY_TREES = (('许多', '树木'), ('大片', '树木'))
BESIDE = (('旁边', '有'), ('附近', '有'), ('旁边', '是'))
EMPTY = (('什么', '也', '没有'), ('没有', '任何', '建筑物'), ('空无一物',))
FRAMES = ('这是', '一片', '，', '有', '和', '上面', '其中', '里', '被', '环绕', '穿过', '位于',
          '一块', '的')


class ChineseSceneCaptioner(SceneCaptioner):
    """Chinese sentences about single images, as tuples of words."""

    def noun(self, metadata: SceneMetadata, kind: str) -> Tokens:
        """Return measure word and noun."""
        if kind == 'water':
            return self.pick(WATER)
        if kind == 'trees':
            return self.pick(SCENE_MANY_TREES if metadata.wooded else SOME_TREES)
        count = getattr(metadata, kind)
        if kind == 'houses':
            amounts = HOUSES.get(4 if 4 <= count <= 6 else count, MANY_HOUSES)
            return (*self.pick(amounts), *self.pick(HOUSE_NOUNS))
        few, many = {'buildings': (BUILDINGS, MANY_BUILDINGS), 'roads': (ROADS, MANY_ROADS),
                     'lots': (LOTS, MANY_LOTS)}[kind]
        return self.pick(few.get(count, many))

    def place(self, metadata: SceneMetadata) -> Tokens:
        """Return '草地上', '树林里', ..."""
        return self.pick(PLACES[metadata.ground])

    def _empty(self, metadata: SceneMetadata) -> Tokens:
        """Return '一片草地，上面什么也没有', '这是一片草地'."""
        start = self.pick((('这是', '一片'), ('一片',), ('这是', '一块')))
        piece = (*start, *self.pick(SCENE_GROUNDS[metadata.ground]))
        if self.chance(0.3):
            return piece
        return (*piece, '，', self.pick(('上面', '其中')), *self.pick(EMPTY))

    def _area(self, metadata: SceneMetadata, kinds: list[str]) -> Tokens:
        """Return '这是一片密集的住宅区，其中有一条道路和许多树木'."""
        name = next(names for most, names in AREAS if metadata.houses <= most)
        nouns = _joined([self.noun(metadata, kind) for kind in kinds[:2] or ['houses']])
        if self.chance(0.3):
            return ('一片', *self.pick(name), '里', '有', *nouns)
        start = self.pick((('这是', '一片'), ('一片',)))
        return (*start, *self.pick(name), '，', *self.pick((('其中', '有'), ('有',))), *nouns)

    def _surrounded(self, metadata: SceneMetadata, kinds: list[str]) -> Tokens:
        """Return '两栋房屋和一条道路被许多树木环绕'."""
        nouns = [self.noun(metadata, kind) for kind in kinds[:2]]
        return (*_joined(nouns), '被', *self.pick(SCENE_MANY_TREES), '环绕')

    def _road_through(self, metadata: SceneMetadata, kind: str) -> Tokens:
        """Return '一条道路穿过农田，旁边有一座大型建筑'."""
        road, ground = self.noun(metadata, 'roads'), self.pick(SCENE_GROUNDS[metadata.ground])
        return (*road, '穿过', *ground, '，', *self.pick(BESIDE), *self.noun(metadata, kind))

    def _piece(self, metadata: SceneMetadata, kinds: list[str]) -> Tokens:
        """Return '这是一片农田，上面有一栋房屋和一条道路'."""
        start = self.pick((('这是', '一片'), ('一片',)))
        nouns = [self.noun(metadata, kind) for kind in kinds[:2]]
        link = '其中' if metadata.ground == 'woods' else '上面'
        ground = self.pick(SCENE_GROUNDS[metadata.ground])
        return (*start, *ground, '，', link, '有', *_joined(nouns))

    def _listing(self, metadata: SceneMetadata, kinds: list[str]) -> Tokens:
        """Return '裸地上有一座大型建筑和一个停车场，附近有一条道路'."""
        nouns = [self.noun(metadata, kind) for kind in kinds]
        if len(nouns) == 1 or (len(nouns) == 2 and self.chance(0.5)):
            if self.chance(0.3):
                return (*_joined(nouns), '位于', *self.place(metadata))
            return (*self.place(metadata), '有', *_joined(nouns))
        *subject, last = nouns
        start = (*self.place(metadata), '有') if self.chance(0.7) else ()
        return (*start, *_joined(subject), '，', *self.pick(BESIDE), *last)


def _joined(nouns: list[Tokens]) -> Tokens:
    """Return '一条道路' or '一条道路和一些树木'."""
    first, *rest = nouns
    return sum((('和', *noun) for noun in rest), first)


SCENE_VOCABULARY = tuple(sorted(words_of((
    SCENE_GROUNDS, PLACES, HOUSES, MANY_HOUSES, HOUSE_NOUNS, [names for _, names in AREAS],
    BUILDINGS, MANY_BUILDINGS, ROADS, MANY_ROADS, LOTS, MANY_LOTS, WATER, SOME_TREES,
    SCENE_MANY_TREES, BESIDE, EMPTY, FRAMES))))
