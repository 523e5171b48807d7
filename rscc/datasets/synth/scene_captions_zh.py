"""Chinese captions of single rendered images, composed word by word so that the tokens are exact.

The sentences are built as Chinese speakers describe a picture (place first, then what is there),
not translated from the English ones. Words are cut as jieba cuts them.
"""
from rscc.datasets.synth.captioner import Captioner, words_of
from rscc.datasets.synth.scene_facts import SceneFacts

Tokens = tuple[str, ...]

GROUNDS = {'meadow': (('草地',), ('草坪',)), 'bareland': (('裸地',), ('空地',)),
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
         (99, (('密集', '的', '住宅区'), ('住宅区',))))
BUILDINGS = {1: (('一座', '大型', '建筑'), ('一座', '大型', '建筑物')),
             2: (('两座', '大型', '建筑'),)}
MANY_BUILDINGS = (('几座', '大型', '建筑'),)
ROADS = {1: (('一条', '道路'), ('一条', '公路')), 2: (('两条道路',), ('几条', '道路'))}
MANY_ROADS = (('三条', '道路'), ('几条', '道路'))
LOTS = {1: (('一个', '停车场'),)}
MANY_LOTS = (('两个', '停车场'),)
WATER = (('一片', '水域'), ('一处', '水面'))
SOME_TREES, MANY_TREES = (('一些', '树木'), ('几棵', '树')), (('许多', '树木'), ('大片', '树木'))
BESIDE = (('旁边', '有'), ('附近', '有'), ('旁边', '是'))
EMPTY = (('什么', '也', '没有'), ('没有', '任何', '建筑物'), ('空无一物',))
FRAMES = ('这是', '一片', '，', '有', '和', '上面', '其中', '里', '被', '环绕', '穿过', '位于',
          '一块', '的')
MOST_NOUNS = 3  # annotators seldom name more


class ChineseSceneCaptioner(Captioner):
    """Says in Chinese what an image shows; sentences are tuples of words."""

    def sentence(self, facts: SceneFacts) -> Tokens:
        """Return one sentence; the most conspicuous object is always in it."""
        first, *others = facts.kinds() or [None]
        if first is None:
            return self._empty(facts)
        chosen = [first, *(kind for kind in others if self.chance(0.75))][:MOST_NOUNS]
        style = self.rng.random()
        if facts.houses > 1 and style < 0.25:
            return self._area(facts, [kind for kind in chosen if kind != 'houses'])
        if facts.wooded and first != 'trees' and style < 0.45:
            return self._surrounded(facts, [kind for kind in chosen if kind != 'trees'])
        if facts.roads and first != 'roads' and style < 0.55:
            return self._road_through(facts, first)
        if style < 0.75:
            return self._piece(facts, chosen)
        return self._listing(facts, chosen)

    def noun(self, facts: SceneFacts, kind: str) -> Tokens:
        """Return measure word and noun."""
        if kind == 'water':
            return self.pick(WATER)
        if kind == 'trees':
            return self.pick(MANY_TREES if facts.wooded else SOME_TREES)
        count = getattr(facts, kind)
        if kind == 'houses':
            amounts = HOUSES.get(4 if 4 <= count <= 6 else count, MANY_HOUSES)
            return (*self.pick(amounts), *self.pick(HOUSE_NOUNS))
        few, many = {'buildings': (BUILDINGS, MANY_BUILDINGS), 'roads': (ROADS, MANY_ROADS),
                     'lots': (LOTS, MANY_LOTS)}[kind]
        return self.pick(few.get(count, many))

    def place(self, facts: SceneFacts) -> Tokens:
        """Return '草地上', '树林里', ..."""
        return self.pick(PLACES[facts.ground])

    def _empty(self, facts: SceneFacts) -> Tokens:
        """Return '一片草地，上面什么也没有', '这是一片草地'."""
        start = self.pick((('这是', '一片'), ('一片',), ('这是', '一块')))
        piece = (*start, *self.pick(GROUNDS[facts.ground]))
        if self.chance(0.3):
            return piece
        return (*piece, '，', self.pick(('上面', '其中')), *self.pick(EMPTY))

    def _area(self, facts: SceneFacts, kinds: list[str]) -> Tokens:
        """Return '这是一片密集的住宅区，其中有一条道路和许多树木'."""
        name = next(names for most, names in AREAS if facts.houses <= most)
        nouns = _joined([self.noun(facts, kind) for kind in kinds[:2] or ['houses']])
        if self.chance(0.3):
            return ('一片', *self.pick(name), '里', '有', *nouns)
        start = self.pick((('这是', '一片'), ('一片',)))
        return (*start, *self.pick(name), '，', *self.pick((('其中', '有'), ('有',))), *nouns)

    def _surrounded(self, facts: SceneFacts, kinds: list[str]) -> Tokens:
        """Return '两栋房屋和一条道路被许多树木环绕'."""
        nouns = [self.noun(facts, kind) for kind in kinds[:2]]
        return (*_joined(nouns), '被', *self.pick(MANY_TREES), '环绕')

    def _road_through(self, facts: SceneFacts, kind: str) -> Tokens:
        """Return '一条道路穿过农田，旁边有一座大型建筑'."""
        return (*self.noun(facts, 'roads'), '穿过', *self.pick(GROUNDS[facts.ground]), '，',
                *self.pick(BESIDE), *self.noun(facts, kind))

    def _piece(self, facts: SceneFacts, kinds: list[str]) -> Tokens:
        """Return '这是一片农田，上面有一栋房屋和一条道路'."""
        start = self.pick((('这是', '一片'), ('一片',)))
        nouns = [self.noun(facts, kind) for kind in kinds[:2]]
        link = '其中' if facts.ground == 'woods' else '上面'
        return (*start, *self.pick(GROUNDS[facts.ground]), '，', link, '有', *_joined(nouns))

    def _listing(self, facts: SceneFacts, kinds: list[str]) -> Tokens:
        """Return '裸地上有一座大型建筑和一个停车场，附近有一条道路'."""
        nouns = [self.noun(facts, kind) for kind in kinds]
        if len(nouns) == 1 or (len(nouns) == 2 and self.chance(0.5)):
            if self.chance(0.3):
                return (*_joined(nouns), '位于', *self.place(facts))
            return (*self.place(facts), '有', *_joined(nouns))
        *subject, last = nouns
        start = (*self.place(facts), '有') if self.chance(0.7) else ()
        return (*start, *_joined(subject), '，', *self.pick(BESIDE), *last)


def _joined(nouns: list[Tokens]) -> Tokens:
    """Return '一条道路' or '一条道路和一些树木'."""
    first, *rest = nouns
    return sum((('和', *noun) for noun in rest), first)


VOCABULARY = tuple(sorted(words_of((
    GROUNDS, PLACES, HOUSES, MANY_HOUSES, HOUSE_NOUNS, [names for _, names in AREAS], BUILDINGS,
    MANY_BUILDINGS, ROADS, MANY_ROADS, LOTS, MANY_LOTS, WATER, SOME_TREES, MANY_TREES, BESIDE,
    EMPTY, FRAMES))))
