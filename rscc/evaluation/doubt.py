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
)
from rscc.evaluation.functional.content import says_no_change
from rscc.text.directions import sides_named

#: Names of the reasons, in the order in which equal ones are told.
REASONS = ('sentence_map', 'sentence_flag', 'contradiction', 'novelty', 'resolution', 'score')
#: Score from which on a reason is told.
_TOLD = 0.5
#: A reason that adds less to the logit of a calibrated doubt is not told.
_LEAST_LOGIT = 0.1
#: Input -> English and Chinese text.
_TEXTS = {
    'sentence_map/denied': ('the sentence says that nothing changed, and the map shows a change',
                            '文字称没有变化，而变化图中有变化'),
    'sentence_map/unseen': ('the sentence tells of a change, and the map shows none',
                            '文字称发生了变化，而变化图中没有变化'),
    'sentence_map/absent': ('the map shows nothing of the kind that the sentence names',
                            '变化图中没有文字所说的地物类别'),
    'sentence_map/silent': ('the sentence leaves out most of the change on the map',
                            '变化图中的主要变化，文字没有提到'),
    'sentence_map/count': ('the sentence gives another number than the map has regions',
                           '文字中的数量与变化图中的图斑数不符'),
    'sentence_map/place': ('most of the change on the map lies elsewhere than the sentence says',
                           '变化图中的变化大多不在文字所说的位置'),
    'sentence_flag': ('the change flag says otherwise: probability of a change {flag:.0%}',
                      '变化分类头的结论相反：变化概率为 {flag:.0%}'),
    'contradiction': ("the model's other sentences contradict this one",
                      '模型的其他候选句与本句矛盾'),
    'novelty': ('the images look unlike those of the training', '影像与训练影像差异较大'),
    'resolution': ('a pixel covers {resolution:.2g} m, {trained:.2g} m in training',
                   '影像分辨率为 {resolution:.2g} 米，训练影像为 {trained:.2g} 米'),
    'score': ('the model finds its own words unlikely (score {score:.2f})',
              '模型对本句的把握偏低（得分 {score:.2f}）'),
}


@dataclass(frozen=True)
class Reason:
    """One reason to doubt an answer.

    Attributes:
        name: One of :data:`REASONS`.
        score: How much it speaks against the answer, 0 to 1.
        text: The reason in a sentence, in the language of the interface.
        texts: Language -> the same sentence, for readers in another one.
    """
    name: str
    score: float
    text: str
    texts: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the reason as JSON has it."""
        return dict(name=self.name, score=round(float(self.score), 4), text=self.text,
                    texts=dict(self.texts))


@dataclass(frozen=True)
class Doubt:
    """How far an answer is to be doubted, and why.

    Attributes:
        value: Estimated probability that the answer is wrong, 0 to 1; None where the weights carry
            no calibration.
        sure: Whether the value lies below the threshold of abstention; None without a calibration.
        reasons: What speaks against the answer, the strongest first; empty where nothing does.
        inputs: Name of an input -> its score, of all that could be asked, the weak ones too. What
            belongs to one reason has its name before a slash: ``sentence_map/place``.
    """
    value: float | None = None
    sure: bool | None = None
    reasons: tuple[Reason, ...] = ()
    inputs: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the doubt as every record has it under ``doubt``."""
        return dict(value=None if self.value is None else round(float(self.value), 4),
                    sure=self.sure, reasons=[reason.to_json() for reason in self.reasons],
                    inputs={name: round(float(score), 4) for name, score in self.inputs.items()})

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Self | None:
        """Read the doubt of a record; None where it has none."""
        if not data:
            return None
        reasons = tuple(Reason(reason['name'], reason['score'], reason['text'],
                               reason.get('texts') or {}) for reason in data.get('reasons') or ())
        return cls(data.get('value'), data.get('sure'), reasons, data.get('inputs') or {})

    def lines(self, language: str = 'en') -> list[str]:
        """Return the doubt in words: the number and the verdict, then a line per reason."""
        if self.value is None and not self.reasons:
            return []
        english = language == 'en'
        head = ('not calibrated' if english else '未标定') if self.value is None else (
            f'{self.value:.2f}')
        if self.sure is False:
            head += ': not sure' if english else '：不确定'
        return [head, *(reason.texts.get(language, reason.text) for reason in self.reasons)]


@dataclass(frozen=True)
class Evidence:
    """Everything that one answer can be doubted by; what is not known is None or empty.

    Attributes:
        sentence: The answer in words.
        score: Its mean log-probability per token.
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
            answers: Language -> sentences (with ``text``, ``score`` and ``common_ground``), best
                first; the language of the answer first. Of the other languages the best counts.
            stock: From a language to the dataset's sentences for unchanged pairs.
            task: ``'single'`` for sentences about one image; anything else is about a change.
            known: Further fields.
        """
        told = [(caption, Said(str(caption.text), language, tuple(stock(language))))
                for place, (language, captions) in enumerate(answers.items())
                for caption in (captions[:1] if place else captions)]
        best, said = told[0] if told else (None, None)
        score = None if best is None or best.score is None else float(best.score)
        return cls(said, score, [other for _, other in told[1:]],
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
        if calibration is None or not {'change_told', 'score'} & set(inputs):
            return Doubt(reasons=reasons, inputs=inputs)
        value = calibration.probability(inputs)
        return Doubt(value, value < calibration.threshold, reasons, inputs)

    def _reasons(self, inputs: Mapping[str, float], calibration: Calibration | None, language: str
                 ) -> tuple[Reason, ...]:
        """Return what speaks against the answer, of every reason its strongest part."""
        logits = inputs if calibration is None else calibration.contributions(inputs)
        strongest: dict[str, str] = {}
        for name in sorted(inputs, key=lambda name: -logits.get(name, 0.0)):
            if name in _TEXTS and self._speaks(name, inputs[name], logits, calibration):
                strongest.setdefault(name.partition('/')[0], name)
        values = dict(score=self.score, flag=self.probability, resolution=self.resolution,
                      trained=self.trained)
        found = []
        for reason, name in strongest.items():
            texts = {language: text.format(**values)
                     for language, text in zip(('en', 'zh'), _TEXTS[name], strict=True)}
            found.append(Reason(reason, inputs[name], texts[language], texts))
        return tuple(found)

    @staticmethod
    def _speaks(name: str, score: float, logits: Mapping[str, float],
                calibration: Calibration | None) -> bool:
        """Whether a reason is worth telling."""
        if name == 'score':  # unlikely for this model, which only a calibration knows
            if calibration is None or score <= calibration.usual.get(name, 1.0):
                return False
        elif score < _TOLD:
            return False
        return calibration is None or logits.get(name, 0.0) >= _LEAST_LOGIT
