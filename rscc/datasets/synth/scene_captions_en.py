"""English captions of single rendered images, in the manner of UCM-captions and RSICD.

Those annotators name the scene, list what is in it and say what lies beside what; they seldom give
numbers above three and hardly ever a direction. Every word comes from the tables of this file.
"""
from rscc.datasets.synth.captioner import Captioner, words_of
from rscc.datasets.synth.scene_facts import SceneFacts

GROUNDS = {'meadow': ('the meadow', 'a piece of meadow', 'the grassland'),
           'bareland': ('the bareland', 'a piece of bareland', 'the bare ground'),
           'desert': ('the desert', 'a piece of desert'),
           'farmland': ('the farmland', 'a piece of farmland'),
           'woods': ('the woods', 'the forest', 'a dense forest')}
PREPOSITIONS = {'meadow': 'on', 'bareland': 'on', 'desert': 'in', 'farmland': 'on', 'woods': 'in'}
PIECES = {'meadow': ('a piece of meadow', 'a piece of grassland', 'a meadow'),
          'bareland': ('a piece of bareland', 'a piece of bare ground'),
          'desert': ('a piece of desert', 'a desert'),
          'farmland': ('a piece of farmland', 'a farmland'),
          'woods': ('a forest', 'a piece of forest', 'a dense forest')}
HOUSES = {1: ('a house',), 2: ('two houses',), 3: ('three houses', 'several houses'),
          4: ('several houses', 'some houses')}
MANY_HOUSES = ('many houses', 'many houses', 'lots of houses')
AREAS = ((3, ('a sparse residential area',)), (8, ('a medium residential area',
                                                  'a residential area')),
         (99, ('a dense residential area', 'a residential area')))
BUILDINGS = {1: ('a large building', 'a large building', 'a big building'),
             2: ('two large buildings',)}
MANY_BUILDINGS = ('several large buildings',)
ROADS = {1: ('a road', 'a road', 'a path'), 2: ('two roads', 'some roads')}
MANY_ROADS = ('three roads', 'several roads')
LOTS = {1: ('a parking lot',)}
MANY_LOTS = ('two parking lots',)
WATER = ('some water', 'a body of water')
SOME_TREES, MANY_TREES = ('some trees', 'several trees'), ('many trees', 'lots of trees')
BESIDE = ('near', 'next to', 'beside')
EMPTY = ('there is {} without any buildings', 'this is {}', 'it is {}', '{} is empty',
         'there is nothing but {}', 'there is only {}', 'it is {} with nothing on it')
FRAMES = ('there is', 'there are', 'it is', 'this is', 'is', 'are', 'and', 'with',
          'surrounded by', 'goes through', 'go through')
MOST_NOUNS = 3  # annotators seldom name more


class EnglishSceneCaptioner(Captioner):
    """Says in English what an image shows; sentences are strings."""

    def sentence(self, facts: SceneFacts) -> str:
        """Return one sentence; the most conspicuous object is always in it."""
        first, *others = facts.kinds() or [None]
        if first is None:
            return self.pick(EMPTY).format(self.pick(PIECES[facts.ground]))
        chosen = [first, *(kind for kind in others if self.chance(0.75))][:MOST_NOUNS]
        style = self.rng.random()
        if facts.houses > 1 and style < 0.25:
            return self._area(facts, [kind for kind in chosen if kind != 'houses'])
        if facts.trees and facts.wooded and first != 'trees' and style < 0.45:
            return self._surrounded(facts, [kind for kind in chosen if kind != 'trees'])
        if facts.roads and first != 'roads' and style < 0.55:
            return f'{self._road_through(facts)} with {self.noun(facts, first)}'
        if style < 0.75:
            return self._piece(facts, chosen)
        return self._listing(facts, chosen)

    def noun(self, facts: SceneFacts, kind: str) -> str:
        """Return 'a road', 'several houses', 'some trees', ..."""
        if kind == 'water':
            return self.pick(WATER)
        if kind == 'trees':
            return self.pick(MANY_TREES if facts.wooded else SOME_TREES)
        few, many = {'houses': (HOUSES, MANY_HOUSES), 'buildings': (BUILDINGS, MANY_BUILDINGS),
                     'roads': (ROADS, MANY_ROADS), 'lots': (LOTS, MANY_LOTS)}[kind]
        count = getattr(facts, kind)
        if kind == 'houses' and 4 <= count <= 6:
            count = 4
        return self.pick(few.get(count, many))

    def place(self, facts: SceneFacts) -> str:
        """Return 'on the meadow', 'in a dense forest', ..."""
        return f'{PREPOSITIONS[facts.ground]} {self.pick(GROUNDS[facts.ground])}'

    def _area(self, facts: SceneFacts, kinds: list[str]) -> str:
        """Return 'a dense residential area with a road and many trees'."""
        names = next(names for most, names in AREAS if facts.houses <= most)
        start = self.pick(('there is ', 'this is ', 'it is ', ''))
        nouns = [self.noun(facts, kind) for kind in kinds[:2] or ['houses']]
        where = f' {self.place(facts)}' if self.chance(0.4) else ''
        return f'{start}{self.pick(names)} with {_joined(nouns)}{where}'

    def _surrounded(self, facts: SceneFacts, kinds: list[str]) -> str:
        """Return 'two houses and a road are surrounded by many trees'."""
        nouns = [self.noun(facts, kind) for kind in kinds[:2]]
        return f'{_joined(nouns)} {_be(nouns)} surrounded by {self.pick(MANY_TREES)}'

    def _road_through(self, facts: SceneFacts) -> str:
        """Return 'a road goes through the meadow'."""
        road = self.noun(facts, 'roads')
        verb = 'goes through' if road.startswith('a ') else 'go through'
        return f'{road} {verb} {self.pick(GROUNDS[facts.ground])}'

    def _piece(self, facts: SceneFacts, kinds: list[str]) -> str:
        """Return 'it is a piece of farmland with a house and a road'."""
        start = self.pick(('there is ', 'this is ', 'it is ', ''))
        nouns = [self.noun(facts, kind) for kind in kinds[:2]]
        return f'{start}{self.pick(PIECES[facts.ground])} with {_joined(nouns)}'

    def _listing(self, facts: SceneFacts, kinds: list[str]) -> str:
        """Return 'a large building and a parking lot are near a road on the bareland'."""
        nouns = [self.noun(facts, kind) for kind in kinds]
        where = f' {self.place(facts)}'
        if len(nouns) == 1 or (len(nouns) == 2 and self.chance(0.5)):
            if self.chance(0.5):
                return f'there {_be(nouns[:1])} {_joined(nouns)}{where}'
            return f'{_joined(nouns)} {_be(nouns)}{where}'
        *subject, last = nouns
        where = where if self.chance(0.7) else ''
        return f'{_joined(subject)} {_be(subject)} {self.pick(BESIDE)} {last}{where}'


def _joined(nouns: list[str]) -> str:
    """Return 'a road' or 'a road and some trees'."""
    return ' and '.join(nouns)


def _be(nouns: list[str]) -> str:
    """Return the verb that agrees; 'some water' is one thing."""
    one = len(nouns) == 1 and (nouns[0].startswith('a ') or nouns[0] == WATER[0])
    return 'is' if one else 'are'


VOCABULARY = tuple(sorted(words_of((
    GROUNDS, PREPOSITIONS, PIECES, HOUSES, MANY_HOUSES, [names for _, names in AREAS], BUILDINGS,
    MANY_BUILDINGS, ROADS, MANY_ROADS, LOTS, MANY_LOTS, WATER, SOME_TREES, MANY_TREES, BESIDE,
    EMPTY, FRAMES))))
