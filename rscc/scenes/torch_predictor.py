"""A trained checkpoint as the predictor of scenes."""
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from rscc.evaluation.functional.content import says_no_change
from rscc.inference.model_pass import Chooser, ModelPass
from rscc.inference.windows import class_probabilities, date_probabilities
from rscc.models.batch_rows import classes_of
from rscc.models.change_heads.base import as_change_head
from rscc.models.interpreter import ChangeInterpreter
from rscc.scenes.contracts import (
    CHANGED_SHARE,
    Describe,
    ModelFacts,
    Predictor,
    Sentence,
    WindowPrediction,
)
from rscc.scenes.transitions import SemanticClasses
from rscc.structures import ChangeDataSample
from rscc.text.normalisation import stock_sentences
from rscc.utils import did_you_mean
from rscc.utils.files import file_hash


class TorchPredictor(Predictor):
    """A checkpoint that answers windows of scenes as it answers images.

    Args:
        model_pass: The loaded model.
        decoding: Options of the caption head, over the config's.

    Raises:
        ValueError: If decoding options are given to a model without a caption head, or it does not
            know one of them, or not the language.
    """

    def __init__(self, model_pass: ModelPass, decoding: Mapping[str, Any] | None = None) -> None:
        self._pass, self.amp = model_pass, model_pass.amp
        self.decoding = dict(decoding or {})
        self.overrides = {name: str(value) for name, value in model_pass.loaded.overrides.items()}
        head = model_pass.loaded.caption_head
        if self.decoding and head is None:
            raise ValueError('this model has no caption_head: the decoding options '
                             f'{sorted(self.decoding)} have nothing to act on')
        known = () if head is None else tuple(head.decoding.as_dict())
        for name in self.decoding:
            if name not in known:
                raise ValueError(f"this model's caption head has no decoding option '{name}'."
                                 f"{did_you_mean(name, known)} It has: {', '.join(known)}")
        self.facts = facts_of(model_pass, self.decoding.get('language'))
        self._choosers: dict[Describe, Chooser] = {
            'never': lambda sample: False, 'always': lambda sample: True,
            'changed': partial(_changed, threshold=self.facts.threshold)}

    @classmethod
    def load(cls, model: str | Path | Config | None, checkpoint: str | Path | None = None,
             device: str | None = None, amp: bool = False,
             cfg_options: Mapping[str, Any] | None = None,
             decoding: Mapping[str, Any] | None = None, **reading: Any) -> 'TorchPredictor':
        """Load a checkpoint; see :class:`rscc.apis.ChangeInferencer` for the arguments."""
        return cls(ModelPass.of(model, checkpoint, device, amp, cfg_options=cfg_options,
                                **reading), decoding)

    @property
    def title(self) -> str:
        """Name, architecture, size and licence of the checkpoint, as far as they are known."""
        return str(self._pass.loaded)

    def predict(self, windows: Sequence[Sequence[np.ndarray]], describe: Sequence[Describe]
                ) -> list[WindowPrediction]:
        """Answer a batch of windows; only those put into words pass through the caption head."""
        prepared = [self._pass.prepare(frames, f'window {number}')
                    for number, frames in enumerate(windows)]
        choosers = [self._choosers[when] for when in describe]
        # The maps of windows are blended as probabilities: nobody looks at their classes.
        return [_prediction(answer) for answer in self._pass.answer(
            prepared, self.decoding, choosers, classes=False)]

    def enlarged(self, factor: int) -> 'TorchPredictor':
        """Return a predictor of the same model with larger windows, see ``ModelPass.enlarged``."""
        larger = TorchPredictor(self._pass.enlarged(factor), self.decoding)
        larger.factor = factor
        return larger

    def tells_of_change(self, sentence: str) -> bool:
        """Return whether a sentence says that something changed."""
        return not says_no_change(sentence, self.facts.no_change_captions,
                                  self.facts.language or 'en')


def facts_of(model_pass: ModelPass, language: str | None = None) -> ModelFacts:
    """Return what a loaded model's checkpoint tells of it.

    Args:
        model_pass: The model.
        language: The decoding option: that of the sentences; None for the model's.

    Raises:
        ValueError: If its caption head does not write that language, or several are named.
    """
    loaded, meta = model_pass.loaded, model_pass.loaded.meta
    heads = (tuple(loaded.heads) if isinstance(loaded.model, ChangeInterpreter)
             else answered(model_pass))
    ground = meta.get('ground_resolution')
    language, *others = loaded.speak(language)
    if others:
        raise ValueError('the files of a scene are written in one language, and '
                         f'{[language, *others]} are asked for: choose one (--language), the other '
                         'in a second run')
    language = language or 'en'
    return ModelFacts(
        task='single' if meta.get('task') == 'single' else 'pair',
        window=model_pass.window.size, overlap=model_pass.window.overlap, heads=heads,
        classes=tuple(meta.get('classes') or ()) if 'change_head' in heads else (),
        palette=meta.get('palette'), semantic=_semantic(model_pass), threshold=loaded.threshold,
        language=language if 'caption_head' in heads else None,
        no_change_captions=stock_sentences(meta, language),
        bands=None if model_pass.load.bands is None else tuple(model_pass.load.bands),
        scale=model_pass.load.scale, ground_resolution=None if ground is None else float(ground),
        rendered=bool(meta.get('rendered')), normalisation=loaded.normalisation,
        weights=loaded.title, weights_hash=file_hash(loaded.file), config=loaded.name,
        calibration=loaded.calibration)


def _semantic(model_pass: ModelPass) -> SemanticClasses | None:
    """Return the classes that a model tells of each date; None of one that tells none."""
    loaded = model_pass.loaded
    if not isinstance(loaded.model, ChangeInterpreter) or loaded.model.change_head is None:
        return None
    head = as_change_head(loaded.model.change_head)
    if head.groups is None:
        return None
    count, meta = head.groups[1], loaded.meta
    names = tuple(meta.get('semantic_classes') or ())[1:]
    palette = meta.get('semantic_palette')
    return SemanticClasses(
        names if len(names) == count else tuple(f'class {k}' for k in range(1, count + 1)),
        palette[1:] if palette and len(names) == count else None, head.same_class)


def answered(model_pass: ModelPass) -> tuple[str, ...]:
    """Return the heads that a model of the user's own seems to have, from its answer to grey."""
    dates = 1 if model_pass.loaded.meta.get('task') == 'single' else 2
    shape = (*(model_pass.window.size or (256, 256)), model_pass.load.count)
    grey = np.full(shape, 128, np.uint8)
    answer, = model_pass.answer([model_pass.prepare([grey] * dates, 'grey')], {})
    keys = {'change_head': 'pred_sem_seg', 'caption_head': 'pred_captions',
            'flag_head': 'pred_change_score'}
    return tuple(head for head, key in keys.items() if key in answer)


def _changed(sample: ChangeDataSample, threshold: float) -> bool:
    """Tell by the flag, else by the map; a model without either describes every window."""
    if 'pred_change_score' in sample:
        return float(sample.pred_change_score) >= 0.5
    if 'seg_logits' in sample:
        classes = classes_of(sample.seg_logits.data, threshold)
        return float((classes != 0).float().mean()) >= CHANGED_SHARE
    return True


def _prediction(answer: ChangeDataSample) -> WindowPrediction:
    probability = answer.get('pred_change_score')
    return WindowPrediction(
        class_probabilities(answer) if 'seg_logits' in answer or 'pred_sem_seg' in answer
        else None,
        tuple(Sentence(caption.text, float(caption.score), caption.common_ground, caption.cut_at)
              for caption in answer.get('pred_captions') or ()),
        None if probability is None else float(probability), answer.get('pred_novelty'),
        date_probabilities(answer))
