"""Doubt about one answer: reasons, one calibrated number, and whether it is small enough to answer.

A sentence can be checked without references: against the map and the flag of the same model,
against the model's other sentences, and by whether the images look like those of the training.
Everything here takes numbers and texts and gives numbers and texts; neither torch nor MMEngine is
imported, so that exported models doubt alike.
"""
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from rscc.evaluation.calibration import Calibration
from rscc.evaluation.functional.consistency import (
    MapFacts,
    Said,
    contradiction,
    counts_named,
    flag_disagreement,
    map_disagreements,
    numbers_beside_map,
    things_lacking,
)
from rscc.evaluation.functional.content import says_no_change
from rscc.text.directions import sides_named
from rscc.text.doubts import (
    REASON_INPUTS,
    grade_of,
    no_reason_text,
    reason_texts,
    risk_text,
)
from rscc.text.land_cover import class_text
from rscc.text.quantities import percent_text

#: Names of the reasons, in the order in which equal ones are told.
REASONS = tuple(dict.fromkeys(name.partition('/')[0] for name in REASON_INPUTS))
#: Inputs without which there is no sentence to be doubted.
_OF_SENTENCES = ('change_told', 'score')
#: A reason is told from this score on, or where it adds so much to the logit of a calibrated doubt.
_TOLD, _TOLD_LOGIT = 0.5, 0.2
#: Disagreements that are told however small their scores are.
_FACTS = tuple(f'sentence_map/{part}' for part in ('denied', 'unseen', 'absent', 'extra', 'count'))


@dataclass(frozen=True)
class Reason:
    """One reason to doubt an answer.

    Attributes:
        name: One of :data:`REASONS`.
        score: How much it speaks against the answer, 0 to 1.
        text: The reason in a sentence, in the language of the interface.
        texts: Language -> the same sentence, for readers in another one.
        input: The input that it comes from, ``'sentence_map/count'`` for instance.
        weight: Logits that it adds to the doubt; None without a calibration.
    """
    name: str
    score: float
    text: str
    texts: Mapping[str, str] = field(default_factory=dict)
    input: str = ''
    weight: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the reason as JSON has it."""
        return dict(name=self.name, input=self.input, score=round(float(self.score), 4),
                    weight=None if self.weight is None else round(float(self.weight), 4),
                    text=self.text, texts=dict(self.texts))


@dataclass(frozen=True)
class Doubt:
    """How far an answer is to be doubted, and why.

    Attributes:
        value: Estimated probability that the answer is wrong, 0 to 1; None where the weights carry
            no calibration.
        sure: Whether the value is low enough to answer, see ``Calibration.sure``; None without a
            calibration.
        reasons: All that speaks against the answer, what weighs most first; empty where nothing
            does.
        inputs: Name of an input -> its score, of all that could be asked, the weak ones too. What
            belongs to one reason has its name before a slash: ``sentence_map/place``.
    """
    value: float | None = None
    sure: bool | None = None
    reasons: tuple[Reason, ...] = ()
    inputs: Mapping[str, float] = field(default_factory=dict)

    @property
    def grade(self) -> str | None:
        """``'low'``, ``'medium'``, ``'high'`` or ``'uncalibrated'``; None without a sentence."""
        if self.value is None and not {*_OF_SENTENCES} & set(self.inputs):
            return None
        return grade_of(self.value, self.sure)

    @property
    def unsure(self) -> bool | None:
        """Whether the answer is "not sure"; None where that is not known."""
        return None if self.value is None else self.grade == 'high'

    def to_json(self) -> dict[str, Any]:
        """Return the doubt as every record has it under ``doubt``."""
        grade = self.grade
        return dict(value=None if self.value is None else round(float(self.value), 4),
                    sure=self.sure, grade=grade, texts={} if grade is None else {
                        language: risk_text(self.value, grade, language)
                        for language in ('en', 'zh')},
                    reasons=[reason.to_json() for reason in self.reasons],
                    inputs={name: round(float(score), 4) for name, score in self.inputs.items()})

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Self | None:
        """Read the doubt of a record; None where it has none."""
        if not data:
            return None
        reasons = tuple(Reason(reason['name'], reason['score'], reason['text'],
                               reason.get('texts') or {}, reason.get('input', ''),
                               reason.get('weight')) for reason in data.get('reasons') or ())
        return cls(data.get('value'), data.get('sure'), reasons, data.get('inputs') or {})

    def reason_lines(self, language: str = 'en') -> list[str]:
        """Return the reasons in words; why there is none of a risk that is not low."""
        told = [reason.texts.get(language, reason.text) for reason in self.reasons]
        return told or ([no_reason_text(self.grade, language)]
                        if self.grade in ('medium', 'high') else [])

    def lines(self, language: str = 'en') -> list[str]:
        """Return the doubt in words: grade and risk, then a line per reason."""
        grade = self.grade
        head = [] if grade is None else [risk_text(self.value, grade, language)]
        return head + self.reason_lines(language)


@dataclass(frozen=True)
class Evidence:
    """Everything that one answer can be doubted by; what is not known is None or empty.

    Attributes:
        sentence: The answer in words.
        score: Its mean log-probability per token.
        cut_at: The limit of tokens at which it was cut; None of a whole sentence.
        others: Other sentences about the same images: an n-best list, other languages.
        agreement: Mean similarity of sentences drawn from noise, 0 to 1, where several were.
        pairs: Whether the answer is about a change.
        map_facts: What the change map says.
        probability: Of any change, by the flag.
        places: Whether counts and places in the sentence are those of the whole map.
        novelty: Squared distance of the images from those of the training, divided by that which
            99 % of the training images keep.
        resolution: Metres that a pixel of the images covers.
        trained: The same of the training images.
    """
    sentence: Said | None = None
    score: float | None = None
    cut_at: int | None = None
    others: Sequence[Said] = ()
    agreement: float | None = None
    pairs: bool = True
    map_facts: MapFacts | None = None
    probability: float | None = None
    places: bool = True
    novelty: float | None = None
    resolution: float | None = None
    trained: float | None = None

    @classmethod
    def of(cls, answers: Mapping[str, Sequence[Any]],
           stock: Callable[[str], Sequence[str]] = lambda language: (), task: str | None = 'pair',
           **known: Any) -> Self:
        """Put together what every way of answering knows.

        Args:
            answers: Language -> sentences (with ``text``, ``score``, ``cut_at`` and
                ``common_ground``), best first; the language of the answer first. Of the other
                languages the best counts.
            stock: From a language to the dataset's sentences for unchanged pairs.
            task: ``'single'`` for sentences about one image; anything else is about a change.
            known: Further fields.
        """
        told = [(caption, Said(str(caption.text), language, tuple(stock(language))))
                for place, (language, captions) in enumerate(answers.items())
                for caption in (captions[:1] if place else captions)]
        best, said = told[0] if told else (None, None)
        score = None if best is None or best.score is None else float(best.score)
        return cls(said, score, None if best is None else best.cut_at,
                   [other for _, other in told[1:]],
                   None if best is None else best.common_ground, task != 'single', **known)

    def inputs(self) -> dict[str, float]:
        """Return the score of everything that can be asked, 0 to 1."""
        found = self._of_sentence() if self.sentence and self.sentence.text.strip() else {}
        if self.novelty is not None and math.isfinite(self.novelty):
            # 0 for what 99 % of the training images are like; 0.5 at twice their distance squared.
            found['novelty'] = 1 - 1 / max(self.novelty, 1.0)
            found['distance'] = self.novelty / (1 + self.novelty)
        if self.resolution and self.trained:
            ratio = self.resolution / self.trained
            found['resolution'] = 1 - min(ratio, 1 / ratio)
        return found

    def _of_sentence(self) -> dict[str, float]:
        said, found = self.sentence, {}
        if self.score is not None and math.isfinite(self.score):
            found['score'] = 1 - math.exp(min(self.score, 0.0))
        if self.cut_at is not None:
            found['cut'] = 1.0
        contradicted = contradiction(said, self.others, self.pairs)
        if self.agreement is not None:
            contradicted = max(contradicted or 0.0, 1 - self.agreement)
        if contradicted is not None:
            found['contradiction'] = contradicted
        if not self.pairs:
            return found
        facts = (said.language, said.no_change_captions)
        changed = not says_no_change(said.text, said.no_change_captions, said.language)
        found['change_told'] = float(changed)
        if changed:
            found['count_told'] = float(bool(counts_named(said.text, said.language)))
            found['place_told'] = float(bool(sides_named(said.text, said.language)))
        if self.probability is not None:
            found['sentence_flag'] = flag_disagreement(said.text, self.probability, *facts)
        if self.map_facts is not None:
            found |= {f'sentence_map/{name}': value for name, value in map_disagreements(
                said.text, self.map_facts, *facts, places=self.places).items()}
        return found

    def doubt(self, calibration: Calibration | None = None, language: str = 'en') -> Doubt:
        """Weigh the evidence.

        Args:
            calibration: Of the weights; None for reasons without a number.
            language: Of the texts, ``'en'`` or ``'zh'``.
        """
        inputs = self.inputs()
        reasons = self._reasons(inputs, calibration, language)
        if calibration is None or not {*_OF_SENTENCES} & set(inputs):
            return Doubt(reasons=reasons, inputs=inputs)
        value = calibration.probability(inputs)
        return Doubt(value, calibration.sure(value), reasons, inputs)

    def _reasons(self, inputs: Mapping[str, float], calibration: Calibration | None, language: str
                 ) -> tuple[Reason, ...]:
        """Return all that speaks against the answer, what weighs most first."""
        weights = {} if calibration is None else calibration.contributions(inputs)
        named = [name for name in REASON_INPUTS if name in inputs
                 and self._speaks(name, inputs[name], weights.get(name, 0.0), calibration)]
        if 'sentence_map/absent' in named:  # then it is clear that all of the change is left out
            named = [name for name in named if name != 'sentence_map/silent']
        named.sort(key=lambda name: (-weights.get(name, 0.0), -inputs[name]))
        details = self._details() if named else {}
        found = []
        for name in named:
            texts = reason_texts(name, inputs[name], details)
            weight = None if calibration is None else weights.get(name, 0.0)
            found.append(Reason(name.partition('/')[0], inputs[name], texts[language], texts, name,
                                weight))
        return tuple(found)

    def _details(self) -> dict[str, dict[str, Any]]:
        """Return language -> what the texts of reasons mention."""
        known = dict(score=self.score, limit=self.cut_at, resolution=self.resolution,
                     trained=self.trained)
        lacking, pairs = [], []
        if self.sentence is not None and self.map_facts is not None:
            asked = (self.sentence.text, self.map_facts, self.sentence.language)
            lacking, pairs = things_lacking(*asked), numbers_beside_map(*asked)
        # Of several numbers the one that is farthest off.
        said, seen, counted = min(pairs, key=lambda one: min(one[:2]) / max(one[:2]),
                                  default=(None, None, ''))
        return {language: dict(
            known, said=said, seen=seen, thing=class_text(counted, language),
            flag=None if self.probability is None else percent_text(self.probability, language),
            lacking=comma.join(class_text(name, language) for name in lacking))
            for language, comma in (('en', ', '), ('zh', '、'))}

    @staticmethod
    def _speaks(name: str, score: float, weight: float, calibration: Calibration | None) -> bool:
        """Whether a reason is worth telling: by its score, or by what it adds to the number."""
        if weight >= _TOLD_LOGIT:
            return True
        if weight < 0:  # less of it than in answers that were right on average
            return False
        if name == 'score':  # unlikely for this model, which only a calibration knows
            return calibration is not None and score > calibration.usual.get(name, 1.0)
        return score >= _TOLD or (score > 0 and name in _FACTS)
