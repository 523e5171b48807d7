"""One sentence for a large image, out of the sentences of its windows."""
from collections.abc import Iterable, Sequence

import numpy as np

from rscc.evaluation.functional.content import says_no_change
from rscc.inference.windows import WindowAnswer
from rscc.structures import ScoredCaption
from rscc.text.minimum_bayes_risk import similarity_matrix

#: At most so many different things are told of one image.
MOST = 3
#: Sentences that are more alike tell the same.
ALIKE = 0.4
_BETWEEN = {'en': '; ', 'zh': '；'}


def merge_captions(answers: Sequence[WindowAnswer], language: str,
                   no_change_captions: Iterable[str] = (), pairs: bool = True
                   ) -> tuple[list[ScoredCaption], int]:
    """Tell an image's windows in one sentence of at most three parts.

    Of pairs, the windows that tell of a change count; where none does, the image is unchanged. The
    parts are sentences that windows said: the one said most often first (of those said equally
    often, the one of the largest changed area), then those that tell something else.

    Args:
        answers: The windows; each with at least one sentence, or all without.
        language: ``'en'`` or ``'zh'``.
        no_change_captions: The dataset's sentences for unchanged pairs.
        pairs: Whether sentences are about changes.

    Returns:
        A list with the sentence and its mean score, empty where the windows have none; and the
        number of windows that it is drawn from.
    """
    said = [answer for answer in answers if answer.captions]
    if not said:
        return [], 0
    stock = list(no_change_captions)
    changed = [answer for answer in said if not (pairs and says_no_change(
        answer.captions[0].text, stock, language))]
    chosen, counted = _distinct(changed or said, language)
    if not changed:
        chosen = chosen[:1]
    text = _BETWEEN[language].join(caption.text for caption in chosen)
    score = float(np.mean([caption.score for caption in chosen]))
    return [ScoredCaption(text, score)], counted


def _distinct(answers: Sequence[WindowAnswer], language: str
              ) -> tuple[list[ScoredCaption], int]:
    """Return the sentences said most often that differ from each other, and of how many windows."""
    groups: dict[str, list[WindowAnswer]] = {}
    for answer in answers:
        groups.setdefault(answer.captions[0].text, []).append(answer)
    weights = {text: (len(own), sum(answer.change_share or 0 for answer in own))
               for text, own in groups.items()}
    texts = sorted(groups, key=lambda text: weights[text], reverse=True)
    words = [text.split() if language == 'en' else list(text) for text in texts]
    alike = similarity_matrix(words)
    chosen: list[int] = []
    for place in range(len(texts)):
        if len(chosen) < MOST and all(alike[place, other] < ALIKE for other in chosen):
            chosen.append(place)
    best = [max((answer.captions[0] for answer in groups[texts[place]]),
                key=lambda caption: caption.score) for place in chosen]
    return best, len(answers)
