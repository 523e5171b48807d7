"""Transforms of captions: target sentences, direction words after flips, exchange of dates."""
from collections.abc import Mapping, Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from rscc.registry import TRANSFORMS
from rscc.structures import CLASS_MAPS
from rscc.text.directions import mentions_direction, swap
from rscc.text.mirroring import mirror
from rscc.text.normalisation import language_of
from rscc.text.teacher_captions import COMMAND
from rscc.utils import check_choice

MODES, PICK_MODES = ('swap', 'skip', 'drop'), ('one', 'all')
CAPTION_KEYS = ('target_captions', 'all_captions', 'gt_captions')


def adapt_captions(results: dict, operation: str, mode: str) -> bool:
    """Rewrite the captions for a flip or turn of the images, where that can be done safely.

    22 % of LEVIR-CC's changed captions name a direction; flipped images would make them wrong.
    Where a sample has sentences of several languages, each is rewritten in its own.

    Args:
        results: The sample; its captions are replaced where needed.
        operation: ``'hflip'``, ``'vflip'``, ``'rot90'``, ``'rot180'``, ``'rot270'`` (the latter
            three counter-clockwise) or ``'any'`` (a free angle).
        mode: ``'swap'``: exchange the direction words, and refuse where that cannot be done safely;
            ``'skip'``: refuse where any is mentioned; ``'drop'``: remove the captions (training of
            masks only).

    Returns:
        Whether the images may be transformed. Where one caption was picked for training, that one
        decides; references that cannot be rewritten are then left out.
    """
    if mode == 'drop':
        for key in CAPTION_KEYS:
            results.pop(key, None)
        return True
    present = [key for key in CAPTION_KEYS if results.get(key)]
    languages = languages_of(results)
    rewritten = {}
    for key in present:
        sentences = [_adapt(text, operation, mode, language_of(text, languages))
                     for text in results[key]]
        if None in sentences and key == present[0]:
            return False
        rewritten[key] = [sentence for sentence in sentences if sentence is not None]
    results.update(rewritten)
    return True


def languages_of(results: Mapping) -> tuple[str, ...]:
    """Return the languages of a sample's sentences, most often one."""
    return tuple(results.get('languages') or (results.get('language', 'en'), ))


def _adapt(sentence: str, operation: str, mode: str, language: str) -> str | None:
    if mode == 'skip' or operation == 'any':
        return None if mentions_direction(sentence, language) else sentence
    return swap(sentence, operation, language)


@TRANSFORMS.register_module()
class PickCaptions(BaseTransform):
    """Choose the target sentences of a sample, of every language that the dataset brings along.

    Args:
        mode: ``'one'`` draws one caption per visit and language, ``'all'`` takes every one (the
            model then encodes the images once for all of them).
        no_change: Sentence that replaces the captions of unchanged pairs, or a dict with one per
            language, or None to keep theirs.
            The five stock sentences of LEVIR-CC say the same; training on one of them stops the
            model from spreading its probability over five ("the scene is the same as before" is
            best for BLEU-4 and METEOR).
    """

    def __init__(self, mode: str = 'one', no_change: str | Mapping[str, str] | None = None):
        check_choice('mode', mode, PICK_MODES)
        self.mode, self.no_change = mode, no_change

    def transform(self, results: dict) -> dict:
        """Set ``target_captions`` (list of sentences); ``gt_captions`` stay.

        Raises:
            ValueError: If the sample has no captions, or ``no_change`` lacks its language.
        """
        if results.get('unlabelled'):  # nothing is learnt from it
            return results
        if not results.get('gt_captions'):
            raise ValueError(f"sample '{results.get('sample_id')}' has no captions to pick from; "
                             'leave PickCaptions out of the pipeline to train on masks only.')
        languages = languages_of(results)
        everything = results.get('all_captions') or results['gt_captions']
        targets = []
        for language in languages:
            captions = [text for text in everything if language_of(text, languages) == language]
            targets += self._of_language(captions, language, results)
        results['target_captions'] = targets
        return results

    def _of_language(self, captions: list[str], language: str, results: dict) -> list[str]:
        """Return the targets among a sample's captions of one language."""
        if self.no_change is not None and results.get('gt_change_flag') is False:
            return [self._stock_sentence(language, results)]
        if self.mode == 'all' or not captions:
            return captions
        return [captions[results['rng'].integers(len(captions))]]

    def _stock_sentence(self, language: str, results: dict) -> str:
        name, languages = results.get('sample_id'), languages_of(results)
        if isinstance(self.no_change, str):
            if len(languages) == 1:
                return self.no_change
            raise ValueError(f"PickCaptions no_change='{self.no_change}' is one sentence, and "
                             f"sample '{name}' has captions in {list(languages)}: give a dict with "
                             'one per language.')
        if language not in self.no_change:
            raise ValueError(f"PickCaptions no_change has no sentence in '{language}', the "
                             f"language of sample '{name}': found {sorted(self.no_change)}.")
        return self.no_change[language]

    def __repr__(self) -> str:
        return f"PickCaptions(mode='{self.mode}', no_change={self.no_change!r})"


@TRANSFORMS.register_module()
class PickTeacherCaptions(PickCaptions):
    """Draw target sentences from those that a trained captioner wrote for the sample.

    Sequence-level distillation (Kim and Rush, EMNLP 2016). The dataset brings the sentences by its
    option ``teacher_captions``; a likelier one is drawn more often.

    Args:
        num: Sentences per visit and language, drawn independently of each other: one may come up
            several times.
        temperature: Of the softmax over the scores of the file, mean log-probabilities per token,
            or closeness to people's sentences: 0 takes the best sentence alone, a large number all
            alike.
        references: Probability, 0 to 1, that a sentence by people is drawn instead.
        references_from: Epoch, from 0 on, before which none of those is drawn.
        no_change: As in :class:`PickCaptions`.
    """

    def __init__(self, num: int = 1, temperature: float = 0.1, references: float = 0.0,
                 references_from: int = 0, no_change: str | Mapping[str, str] | None = None):
        super().__init__('all', no_change)
        for name, value, fits, expected in (
                ('num', num, isinstance(num, int) and num >= 1, 'a whole number from 1 on'),
                ('temperature', temperature, temperature >= 0, '0 or more'),
                ('references', references, 0 <= references <= 1, 'a share from 0 to 1'),
                ('references_from', references_from, references_from >= 0, '0 or more')):
            if not fits:
                raise ValueError(f'PickTeacherCaptions {name}={value}: expected {expected}')
        self.num, self.temperature = num, temperature
        self.references, self.references_from = references, references_from

    def _of_language(self, captions: list[str], language: str, results: dict) -> list[str]:
        stock = super()._of_language([], language, results)
        told = (results.get('teacher_captions') or {}).get(language)
        if stock or not told:
            if not stock:
                raise ValueError(
                    f"sample '{results.get('sample_id')}' has no sentences of a teacher in "
                    f"'{language}': give the dataset teacher_captions='FILE', which this writes: "
                    f'{COMMAND}')
            return stock
        rng, late = results['rng'], results.get('epoch', 0) >= self.references_from
        own = rng.choice(len(told), self.num, p=self._shares([score for _, score in told]))
        swapped = rng.random(self.num) < (self.references if late and captions else 0)
        others = rng.integers(max(len(captions), 1), size=self.num)
        return [captions[other] if swap else told[one][0]
                for one, other, swap in zip(own, others, swapped, strict=True)]

    def _shares(self, scores: Sequence[float]) -> np.ndarray:
        """Return the probability of every sentence."""
        best = np.asarray(scores, np.float64) - max(scores)
        if not self.temperature:
            return np.eye(len(best))[int(best.argmax())]
        weights = np.exp(best / self.temperature)
        return weights / weights.sum()

    def __repr__(self) -> str:
        return (f'PickTeacherCaptions(num={self.num}, temperature={self.temperature}, references='
                f'{self.references}, references_from={self.references_from}, no_change='
                f'{self.no_change!r})')


def mirror_captions(results: dict) -> bool:
    """Rewrite the captions of a changed pair for exchanged dates, where every language has some.

    Args:
        results: The sample; its captions are replaced unless False is returned.

    Returns:
        Whether the dates may be exchanged.
    """
    languages, rewritten = languages_of(results), {}
    for key in (key for key in CAPTION_KEYS if results.get(key)):
        told = [(text, language_of(text, languages)) for text in results[key]]
        mirrored = [(mirror(text, language), language) for text, language in told]
        rewritten[key] = [text for text, _ in mirrored if text is not None]
        if {language for _, language in told} != {
                language for text, language in mirrored if text is not None}:
            return False
    results.update(rewritten)
    return True


@TRANSFORMS.register_module()
class FramesExchangeDates(BaseTransform):
    """Exchange the two dates of a pair.

    Consequences. Captions are directed ("a house has been built"; of LEVIR-CC's changed captions
    87 % tell of things appearing), so a changed pair read backwards needs others. An unchanged
    pair keeps its captions. A mask of *where* something changed holds both ways and is kept, and
    the class maps of the two dates change places. A single mask of what a place *became* would not
    hold, and such data must not use this transform.

    Args:
        prob: Probability of the exchange.
        captions: ``'unchanged'`` exchanges unchanged pairs only and keeps all captions; ``'drop'``
            exchanges any pair and removes the captions of the changed ones it exchanged (training
            of masks only); ``'mirror'`` exchanges any pair and rewrites the captions of the changed
            ones (``rscc.text.mirroring``: "a house is removed"). Those that cannot be rewritten are
            left out, and a pair that would lose all of a language is left as it is.
    """

    def __init__(self, prob: float = 0.5, captions: str = 'unchanged'):
        check_choice('captions', captions, ('unchanged', 'drop', 'mirror'))
        self.prob, self.captions = prob, captions

    def transform(self, results: dict) -> dict:
        """Reverse ``frames``, the two paths, the dates' ``prompts`` and class maps.

        Raises:
            ValueError: If the sample is no pair.
        """
        if len(results['frames']) != 2:
            raise ValueError("FramesExchangeDates needs a pair; sample "
                             f"'{results.get('sample_id')}' has {len(results['frames'])} frame(s).")
        unchanged = results.get('gt_change_flag') is False
        if results['rng'].random() >= self.prob or not (unchanged or self.captions != 'unchanged'):
            return results
        if not unchanged and self.captions == 'mirror' and not mirror_captions(results):
            return results
        if not unchanged and self.captions == 'drop':
            for key in CAPTION_KEYS:
                results.pop(key, None)
        results['frames'] = results['frames'][::-1]
        for first, second in (('img_path_from', 'img_path_to'), CLASS_MAPS):
            if first in results:
                results[first], results[second] = results[second], results[first]
        if results.get('prompts') is not None:
            results['prompts'] = results['prompts'][::-1]
        return results

    def __repr__(self) -> str:
        return f"FramesExchangeDates(prob={self.prob}, captions='{self.captions}')"
