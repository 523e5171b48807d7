"""English captions of rendered changes and of single rendered images.

Five sentences a pair say the same at different length: annotators differ in what they leave out,
not in what they saw. Of a single image they name the scene, list what is in it and say what lies
beside what; they seldom give numbers above three and hardly ever a direction. Every word comes from
the tables of this file, those of pairs first, so both vocabularies are closed.
"""
from collections.abc import Sequence

from rscc.synth.captioner import Captioner, SceneCaptioner, SceneMetadata, words_of
from rscc.synth.changes import BUILT, REMOVED, Change

NO_CHANGE = ('there is no difference', 'the two scenes seem identical',
             'the scene is the same as before', 'no change has occurred',
             'almost nothing has changed')
NOUNS = {
    'house': (('house', 'houses'), ('house', 'houses'), ('house', 'houses'), ('villa', 'villas')),
    'building': (('large building', 'large buildings'), ('large building', 'large buildings'),
                 ('building', 'buildings'), ('big building', 'big buildings')),
    'road': (('road', 'roads'),),
    'pond': (('pond', 'ponds'), ('pond', 'ponds'), ('lake', 'lakes'), ('pool', 'pools')),
    'parking lot': (('parking lot', 'parking lots'),),
    'trees': (('tree', 'trees'), ('tree', 'trees'), ('plant', 'plants')),
}
NUMBERS = {2: ('two',), 3: ('three', 'three', 'several', 'some'),
           4: ('four', 'several', 'some'), 5: ('several', 'some', 'many')}
DETACHED = 'detached'
MANY = ('many', 'many', 'several', 'some')
FEW_TREES, MANY_TREES = ('some', 'some', 'the'), ('many', 'many', 'some', 'the')
ROWS = ('a row of', 'a line of')
GENERAL_VERBS = (('is built', 'are built'), ('is built', 'are built'), ('appears', 'appear'),
                 ('appears', 'appear'), ('has been built', 'have been built'),
                 ('is constructed', 'are constructed'),
                 ('has been constructed', 'have been constructed'),
                 ('has appeared', 'have appeared'), ('shows up', 'show up'))
LOST_VERBS = (('disappears', 'disappear'), ('is removed', 'are removed'),
              ('has been removed', 'have been removed'), ('has disappeared', 'have disappeared'))
RAZED_VERBS = (*LOST_VERBS, ('is demolished', 'are demolished'),
               ('has been demolished', 'have been demolished'))
VERBS = {
    ('trees', BUILT): (('is planted', 'are planted'), ('appears', 'appear'),
                       ('has been planted', 'have been planted'), ('is added', 'are added')),
    ('trees', REMOVED): (*LOST_VERBS, ('is cut down', 'are cut down')),
    ('pond', BUILT): (('appears', 'appear'), ('is dug', 'are dug'), ('has formed', 'have formed'),
                      ('has appeared', 'have appeared')),
    ('pond', REMOVED): (*LOST_VERBS, ('is filled', 'are filled')),
    ('house', REMOVED): RAZED_VERBS,
    ('building', REMOVED): RAZED_VERBS,
    ('road', REMOVED): LOST_VERBS,
    ('parking lot', REMOVED): LOST_VERBS,
}
SIDES = {
    'top': ('at the top', 'at the top of the scene'),
    'bottom': ('at the bottom', 'at the bottom of the scene'),
    'left': ('on the left', 'on the left side', 'on the left side of the scene'),
    'right': ('on the right', 'on the right side', 'on the right side of the scene'),
    'center': ('in the center', 'in the middle', 'in the middle of the scene'),
}
CORNERS = ('in the {} corner', 'at the {}', 'in the {} corner of the scene', 'in the {}')
GROUNDS = {
    'meadow': ('on the meadow', 'on the grass', 'on the grassland'),
    'bareland': ('on the bareland', 'on the bareland', 'in the open space', 'on the wasteland'),
    'desert': ('in the desert',),
    'farmland': ('on the farmland', 'in the field'),
    'woods': ('in the woods', 'in the forest', 'among the trees'),
}
GROUND_NOUNS = {'meadow': ('the meadow', 'the grass'), 'bareland': ('the bareland',),
                'desert': ('the desert',), 'farmland': ('the farmland',)}
RELATIONS = {'along': ('along the road', 'beside the road', 'near the road', 'next to the road'),
             'row': ('along the road', 'beside the road', 'alongside the road'),
             'both sides': ('on both sides of the road', 'along the road')}
ALONG_IT = {'along': ('beside it', 'along it'), 'row': ('along it', 'beside it'),
            'both sides': ('on both sides of it', 'on both sides')}
CONNECTORS = ('a', 'new', 'and', 'with', 'replace', 'replaces', 'is replaced by', 'are replaced by',
              'to build', 'turns into')


class EnglishCaptioner(Captioner):
    """English sentences about changes, as strings."""

    NO_CHANGE = NO_CHANGE

    def sentence(self, changes: Sequence[Change]) -> str:
        """Return one sentence on a pair's changes, the most conspicuous always among them."""
        trees = [c for c in changes if c.kind == 'trees' and c.action == REMOVED]
        built = [c for c in changes if c.action == BUILT]
        lost = [c for c in changes if c.action == REMOVED and c.kind != 'trees']
        if built and lost:
            return self._replacement(lost[0], built)
        if built and trees and self.chance(0.7):
            return self._replacement(trees[0], built)
        if len(built) == 2:
            return self._together(*built)
        return self._alone((built or lost or trees)[0])

    def noun_phrase(self, change: Change) -> tuple[str, bool]:
        """Return 'a house', 'some trees', ... and whether its verb is plural."""
        singular, plural = self.pick(NOUNS[change.kind])
        if change.kind == 'trees':
            amounts = MANY_TREES if change.count >= 40 else FEW_TREES
            if change.action == REMOVED:
                return f'{self.pick(amounts)} {plural}', True
            # 'the' is for trees a reader knew, and 'plants are planted' nobody says.
            return f"{self.pick(amounts[:-1])} {NOUNS['trees'][0][1]}", True
        if change.count == 1:
            new = change.action == BUILT and ' ' not in singular and self.chance(0.12)
            return f"{'a new' if new else 'a'} {singular}", False
        if change.relation == 'row' and self.chance(0.65):
            return f'{self.pick(ROWS)} {plural}', False
        amount = self.pick(NUMBERS.get(change.count, MANY))
        if change.kind == 'house' and amount in MANY and self.chance(0.1):
            amount = f'{amount} {DETACHED}'
        return f'{amount} {plural}', True

    def verb(self, change: Change, plural: bool) -> str:
        """Return the predicate."""
        return self.pick(VERBS.get((change.kind, change.action), GENERAL_VERBS))[plural]

    def place(self, change: Change) -> str:
        """Return where in the image, or nothing where it is everywhere."""
        if change.where in SIDES:
            return self.pick(SIDES[change.where])
        return '' if change.where == 'scene' else self.pick(CORNERS).format(change.where)

    def adverbs(self, change: Change, share: float = 1.0) -> str:
        """Return up to two of relation, ground and place, each with a leading blank."""
        options = []
        if change.relation and self.chance(0.75 * share):
            options.append(self.pick(RELATIONS[change.relation]))
        if change.kind != 'trees' and self.chance((0.25 if options else 0.5) * share) \
                and change.ground:
            options.append(self.pick(GROUNDS[change.ground]))
        place = self.place(change)
        if place and len(options) < 2 and self.chance(0.6 * share):
            options.append(place)
        return ''.join(f' {option}' for option in options)

    def clause(self, change: Change, share: float = 1.0) -> str:
        """Return subject, predicate and adverbs; what is gone has its place named before that."""
        subject, plural = self.noun_phrase(change)
        verb, adverbs = self.verb(change, plural), self.adverbs(change, share)
        if change.action == REMOVED:
            return f'{subject}{adverbs} {verb}'
        return f'{subject} {verb}{adverbs}'

    def _alone(self, change: Change) -> str:
        # In a wood the trees go or stay; the place itself turns into nothing else.
        if change.kind in ('pond', 'parking lot') and change.ground != 'woods' \
                and self.chance(0.2):
            return self._conversion(change)
        return self.clause(change)

    def _conversion(self, change: Change) -> str:
        """Return 'the bareland at the top turns into a lake' or its reverse."""
        subject, _ = self.noun_phrase(change)
        ground = self.pick(GROUND_NOUNS[change.ground])
        place = self.place(change)
        old, new = (ground, subject) if change.action == BUILT else (subject, ground)
        turn = self.pick(('turns into', 'is replaced by'))
        return ' '.join(filter(None, (old, place, turn, new)))

    def _together(self, first: Change, second: Change) -> str:
        """Return one sentence on two things built: a road with houses, a building with a lot."""
        (one, one_plural), (two, _) = self.noun_phrase(first), self.noun_phrase(second)
        style = self.rng.random()
        if style < 0.25:
            return self.clause(first)
        where = self.adverbs(first, 0.8) if first.where == second.where or \
            second.kind == 'parking lot' else self._ground(first)
        if style < 0.5:
            side = f' {self.pick(ALONG_IT[second.relation])}' if second.relation else ''
            side = '' if side.endswith(' it') else side
            return f'{one} with {two}{side} {self.verb(first, one_plural)}{where}'
        if style < 0.7 or not second.relation:
            return f'{one} and {two} {self.verb(first, True)}{where}'
        side = self.pick(ALONG_IT[second.relation])
        return f'{self.clause(first, 0.6)} and {two} {self.verb(second, self._plural(two))} {side}'

    def _ground(self, change: Change) -> str:
        named = self.chance(0.4) and change.ground
        return f' {self.pick(GROUNDS[change.ground])}' if named else ''

    @staticmethod
    def _plural(phrase: str) -> bool:
        return not phrase.startswith('a ')

    def _built(self, built: Sequence[Change]) -> tuple[str, bool]:
        """Return one noun phrase for everything built, or for the first of it."""
        phrase, plural = self.noun_phrase(built[0])
        if len(built) > 1 and self.chance(0.75):
            return f'{phrase} and {self.noun_phrase(built[1])[0]}', True
        return phrase, plural

    def _replacement(self, lost: Change, built: Sequence[Change]) -> str:
        """Return one sentence on what gave way to what."""
        (old, old_plural), (new, new_plural) = self.noun_phrase(lost), self._built(built)
        where = ''
        if lost.where == built[0].where and self.chance(0.5) and self.place(lost):
            where = f' {self.place(lost)}'
        style = self.rng.random()
        if style < 0.4:
            removed = f'{old} {self.verb(lost, old_plural)}'
            return f'{removed} and {new} {self.verb(built[0], new_plural)}{where}'
        if style < 0.6:
            return f"{new} {'replace' if new_plural else 'replaces'} {old}{where}"
        if style < 0.8:
            return f"{old} {'are' if old_plural else 'is'} replaced by {new}{where}"
        if built[0].kind == 'pond':
            return f'{new} {self.verb(built[0], new_plural)}{where}'
        return f"{old} {'are' if old_plural else 'is'} removed to build {new}{where}"


VOCABULARY = tuple(sorted(words_of((
    NO_CHANGE, NOUNS, NUMBERS, DETACHED, MANY, FEW_TREES, MANY_TREES, ROWS, GENERAL_VERBS, VERBS,
    SIDES, CORNERS, GROUNDS, GROUND_NOUNS, RELATIONS, ALONG_IT, CONNECTORS))))


SCENE_GROUNDS = {'meadow': ('the meadow', 'a piece of meadow', 'the grassland'),
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
         (10 ** 6, ('a dense residential area', 'a residential area')))
BUILDINGS = {1: ('a large building', 'a large building', 'a big building'),
             2: ('two large buildings',)}
MANY_BUILDINGS = ('several large buildings',)
ROADS = {1: ('a road', 'a road', 'a path'), 2: ('two roads', 'some roads')}
MANY_ROADS = ('three roads', 'several roads')
LOTS = {1: ('a parking lot',)}
MANY_LOTS = ('two parking lots',)
WATER = ('some water', 'a body of water')
SOME_TREES, SCENE_MANY_TREES = ('some trees', 'several trees'), ('many trees', 'lots of trees')
BESIDE = ('near', 'next to', 'beside')
EMPTY = ('there is {} without any buildings', 'this is {}', 'it is {}', '{} is empty',
         'there is nothing but {}', 'there is only {}', 'it is {} with nothing on it')
FRAMES = ('there is', 'there are', 'it is', 'this is', 'is', 'are', 'and', 'with',
          'surrounded by', 'goes through', 'go through')


class EnglishSceneCaptioner(SceneCaptioner):
    """English sentences about single images, as strings."""

    def noun(self, metadata: SceneMetadata, kind: str) -> str:
        """Return 'a road', 'several houses', 'some trees', ..."""
        if kind == 'water':
            return self.pick(WATER)
        if kind == 'trees':
            return self.pick(SCENE_MANY_TREES if metadata.wooded else SOME_TREES)
        few, many = {'houses': (HOUSES, MANY_HOUSES), 'buildings': (BUILDINGS, MANY_BUILDINGS),
                     'roads': (ROADS, MANY_ROADS), 'lots': (LOTS, MANY_LOTS)}[kind]
        count = getattr(metadata, kind)
        if kind == 'houses' and 4 <= count <= 6:
            count = 4
        return self.pick(few.get(count, many))

    def place(self, metadata: SceneMetadata) -> str:
        """Return 'on the meadow', 'in a dense forest', ..."""
        return f'{PREPOSITIONS[metadata.ground]} {self.pick(SCENE_GROUNDS[metadata.ground])}'

    def _empty(self, metadata: SceneMetadata) -> str:
        """Return 'there is nothing but a meadow'."""
        return self.pick(EMPTY).format(self.pick(PIECES[metadata.ground]))

    def _area(self, metadata: SceneMetadata, kinds: list[str]) -> str:
        """Return 'a dense residential area with a road and many trees'."""
        names = next(names for most, names in AREAS if metadata.houses <= most)
        start = self.pick(('there is ', 'this is ', 'it is ', ''))
        nouns = [self.noun(metadata, kind) for kind in kinds[:2] or ['houses']]
        where = f' {self.place(metadata)}' if self.chance(0.4) else ''
        return f'{start}{self.pick(names)} with {_joined(nouns)}{where}'

    def _surrounded(self, metadata: SceneMetadata, kinds: list[str]) -> str:
        """Return 'two houses and a road are surrounded by many trees'."""
        nouns = [self.noun(metadata, kind) for kind in kinds[:2]]
        return f'{_joined(nouns)} {_be(nouns)} surrounded by {self.pick(SCENE_MANY_TREES)}'

    def _road_through(self, metadata: SceneMetadata, kind: str) -> str:
        """Return 'a road goes through the meadow with a house'."""
        road = self.noun(metadata, 'roads')
        verb = 'goes through' if road.startswith('a ') else 'go through'
        ground = self.pick(SCENE_GROUNDS[metadata.ground])
        return f'{road} {verb} {ground} with {self.noun(metadata, kind)}'

    def _piece(self, metadata: SceneMetadata, kinds: list[str]) -> str:
        """Return 'it is a piece of farmland with a house and a road'."""
        start = self.pick(('there is ', 'this is ', 'it is ', ''))
        nouns = [self.noun(metadata, kind) for kind in kinds[:2]]
        return f'{start}{self.pick(PIECES[metadata.ground])} with {_joined(nouns)}'

    def _listing(self, metadata: SceneMetadata, kinds: list[str]) -> str:
        """Return 'a large building and a parking lot are near a road on the bareland'."""
        nouns = [self.noun(metadata, kind) for kind in kinds]
        where = f' {self.place(metadata)}'
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


SCENE_VOCABULARY = tuple(sorted(words_of((
    SCENE_GROUNDS, PREPOSITIONS, PIECES, HOUSES, MANY_HOUSES, [names for _, names in AREAS],
    BUILDINGS, MANY_BUILDINGS, ROADS, MANY_ROADS, LOTS, MANY_LOTS, WATER, SOME_TREES,
    SCENE_MANY_TREES, BESIDE, EMPTY, FRAMES))))
