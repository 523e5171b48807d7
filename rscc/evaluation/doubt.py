"""Doubt about one answer: reasons, one calibrated number, and whether it is small enough to answer.

A sentence can be checked without references: against the map and the flag of the same model,
against the model's other sentences, and by whether the images look like those of the training.
Everything here takes numbers and texts and gives numbers and texts; neither torch nor MMEngine is
imported, so that exported models doubt alike.
"""
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

#: Names of the reasons, in the order in which equal ones are told.
REASONS = ('sentence_map', 'sentence_flag', 'contradiction', 'novelty', 'resolution', 'score')


@dataclass(frozen=True)
class Reason:
    """One reason to doubt an answer.

    Attributes:
        name: One of :data:`REASONS`.
        score: How much it speaks against the answer, 0 to 1.
        text: The reason in a sentence, in the language of the interface.
    """
    name: str
    score: float
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return the reason as JSON has it."""
        return dict(name=self.name, score=round(float(self.score), 4), text=self.text)


@dataclass(frozen=True)
class Doubt:
    """How far an answer is to be doubted, and why.

    Attributes:
        value: Estimated probability that the answer is wrong, 0 to 1; None where the weights carry
            no calibration.
        sure: Whether the value lies below the threshold of abstention; None without a calibration.
        reasons: What speaks against the answer, the strongest first; empty where nothing does.
        inputs: Name of a reason -> its score, of all that could be asked, the weak ones too.
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
        reasons = tuple(Reason(reason['name'], reason['score'], reason['text'])
                        for reason in data.get('reasons') or ())
        return cls(data.get('value'), data.get('sure'), reasons, data.get('inputs') or {})
