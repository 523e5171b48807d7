"""English captions from facts, in the manner and with the words of LEVIR-CC's annotators.

Five sentences a pair say the same at different length: annotators differ in what they leave out,
not in what they saw. Every word comes from the tables of this file, so the vocabulary is closed.
"""
from collections.abc import Sequence

from rscc.datasets.synth.captioner import Captioner, words_of
from rscc.datasets.synth.changes import BUILT, REMOVED, Change

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
    """Says in English what changed; sentences are strings."""

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
        if change.kind != 'trees' and self.chance((0.25 if options else 0.5) * share):
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
        return f' {self.pick(GROUNDS[change.ground])}' if self.chance(0.4) else ''

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
