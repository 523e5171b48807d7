"""Answers of exported models by onnxruntime: windows in, maps and sentences out.

Neither torch nor MMEngine is imported. Images are prepared as the model's test pipeline does it,
by the same functions; maps are brought back to the size of the window as the model does it.
"""
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rscc.deployment.greedy import greedy_search
from rscc.deployment.metadata import (
    KEY,
    PART_KEY,
    PARTS,
    CaptionRecord,
    Preparation,
    Record,
    digest,
)
from rscc.evaluation.functional.content import says_no_change
from rscc.rasters.resizing import resize_frame, resize_scores, size_within
from rscc.scenes.contracts import (
    CHANGED_SHARE,
    Describe,
    ModelFacts,
    Predictor,
    Sentence,
    WindowPrediction,
)
from rscc.text.normalisation import stock_sentences
from rscc.utils import require

_QUIET = 3  # onnxruntime's level of errors


def part_path(path: Path, part: str) -> Path:
    """Return where a part of the decoder lies: ``NAME.start.onnx`` beside ``NAME.onnx``."""
    return path.with_suffix(f'.{part}.onnx')


def session_options() -> Any:
    """Return onnxruntime's options: as many threads as OMP_NUM_THREADS says, where it is set."""
    options = require('onnxruntime', 'answering by an ONNX file').SessionOptions()
    threads = os.environ.get('OMP_NUM_THREADS', '').split(',')[0].strip()
    if threads.isdigit() and int(threads) > 0:
        options.intra_op_num_threads = int(threads)
    options.log_severity_level = _QUIET
    return options


def open_session(path: Path, options: Any = None, providers: Sequence[str] | None = None) -> Any:
    """Open one graph.

    Args:
        path: The file.
        options: onnxruntime's; :func:`session_options` unless given.
        providers: What computes, ``'CUDAExecutionProvider'`` for instance; the CPU unless given.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If onnxruntime cannot read it: no ONNX, damaged, of a later opset.
    """
    runtime = require('onnxruntime', 'answering by an ONNX file')
    if not path.is_file():
        raise FileNotFoundError(f"no exported model at '{path}': expected the .onnx file that "
                                'tools/deployment/export_onnx.py writes')
    try:
        return runtime.InferenceSession(str(path), options or session_options(),
                                        providers=list(providers or ['CPUExecutionProvider']))
    except Exception as error:  # onnxruntime raises kinds of its own, some plain RuntimeErrors
        raise ValueError(
            f"onnxruntime {runtime.__version__} cannot read '{path}': "
            f'{str(error).strip().splitlines()[0][:300]}. Either it is no ONNX file or damaged '
            '(export the model again, copy it with the files beside it), or its opset is later '
            'than this onnxruntime knows (update it, or export with a lower --opset)') from error


def axes_of(session: Any) -> dict[str, list[int | str]]:
    """Return the axes of all inputs and outputs, a name where one may vary."""
    return {value.name: list(value.shape)
            for value in [*session.get_inputs(), *session.get_outputs()]}


class OnnxPredictor(Predictor):
    """Exported model that answers windows of a scene.

    Example:
        >>> predictor = OnnxPredictor('detector.onnx')
        >>> predictor.predict([(before, after)], ['changed'])[0].probabilities.shape

    Args:
        path: ``NAME.onnx``, written by ``tools/deployment/export_onnx.py``; the decoder of a
            captioner is expected beside it.
        window: Side of the windows in pixels of the image, in place of the file's.
        overlap: Pixels that neighbouring windows share; a quarter of a window that is given.
        decoding: Options of the greedy search, over the file's; ``language`` of a model that was
            exported with several.
        options: onnxruntime's session options; :func:`session_options` unless given.
        providers: What computes; the CPU unless given.

    Attributes:
        record: What the file says of itself.

    Raises:
        FileNotFoundError: If the file, or a part beside it, is not there.
        ImportError: If onnxruntime is not installed.
        ValueError: If a file is no export, damaged, or belongs to another one; or if an option is
            impossible.
    """

    def __init__(self, path: str | os.PathLike, *, window: int | None = None,
                 overlap: int | None = None, decoding: Mapping[str, Any] | None = None,
                 options: Any = None, providers: Sequence[str] | None = None) -> None:
        self.path, self.decoding = Path(path), dict(decoding or {})
        self._session = open_session(self.path, options, providers)
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise ValueError(f"'{path}' is no export of rscc: it has no record '{KEY}' in its "
                             'metadata. Write it with tools/deployment/export_onnx.py'
                             + self._part_hint())
        self.record: Record = Record.from_json(text, f"'{path}'")
        if self.record.kind != 'model':
            raise ValueError(f"'{path}' has one input of six bands, which is for other programs; "
                             'export the model without --six-band to use it here')
        self.facts: ModelFacts = with_window(self.record.facts, window, overlap)
        self._outputs = [value.name for value in self._session.get_outputs()]
        sides = self._session.get_inputs()[0].shape[-2:]
        self._fixed = tuple(sides) if all(isinstance(side, int) for side in sides) else None
        self._decoder, caption = None, self.record.caption
        if caption is None and self.decoding:
            raise ValueError(f"'{path}' writes no sentences: the decoding options "
                             f'{sorted(self.decoding)} have nothing to act on')
        if caption is not None:
            search = {name: value for name, value in self.decoding.items() if name != 'language'}
            self.facts, caption = in_language(self.facts, caption, self.decoding.get('language'))
            caption = replace(caption, rules=caption.rules.updated(search))
            parts = {part: self._open_part(part, digest(text), options, providers)
                     for part in PARTS}
            self._decoder = SessionDecoder(parts['start'], parts['step'], caption)

    def _part_hint(self) -> str:
        """Say so where a part of a decoder was taken for the main file."""
        said = self._session.get_modelmeta().custom_metadata_map.get(PART_KEY)
        name = self.path.name.rsplit('.', 2)[0]
        return '' if said is None else f". This is the decoder that belongs to '{name}.onnx'"

    def _open_part(self, part: str, belongs: str, options: Any, providers: Sequence[str] | None
                   ) -> Any:
        """Open a part of the decoder and check that it is of this export."""
        path = part_path(self.path, part)
        if not path.is_file():
            raise FileNotFoundError(f"'{self.path}' writes sentences with a decoder that lies "
                                    f"beside it, and there is no '{path}': copy the files "
                                    f'{", ".join(part_path(self.path, p).name for p in PARTS)} '
                                    'too (renamed as it was), or export again')
        session = open_session(path, options, providers)
        said = json.loads(session.get_modelmeta().custom_metadata_map.get(PART_KEY, '{}'))
        if said != dict(part=part, belongs_to=belongs):
            raise ValueError(f"'{path}' is not the decoder of '{self.path}': it was written by "
                             'another export. Copy all files of one export, or export again')
        return session

    def predict(self, windows: Sequence[Sequence[np.ndarray]], describe: Sequence[Describe]
                ) -> list[WindowPrediction]:
        """Answer a batch of windows; sentences of those alone that ``describe`` asks for.

        Args:
            windows: Of each its dates, uint8 (h, w, B), earliest first.
            describe: Of each when it is put into words, see ``Predictor``.

        Raises:
            ValueError: If a window has another number of dates or bands than the model reads, or a
                size that the file cannot take.
        """
        prepared = [self._prepare(frames) for frames in windows]
        answers: list[WindowPrediction | None] = [None] * len(windows)
        # Windows of one shape share a call, so that none is filled up for its neighbours.
        shapes = dict.fromkeys(frames.shape for frames, _ in prepared)
        for shape in shapes:
            rows = [row for row, (frames, _) in enumerate(prepared) if frames.shape == shape]
            found = self._answer(np.stack([prepared[row][0] for row in rows]),
                                 [prepared[row][1] for row in rows],
                                 [windows[row][0].shape[:2] for row in rows],
                                 [describe[row] for row in rows])
            for row, answer in zip(rows, found, strict=True):
                answers[row] = answer
        return answers

    def inputs(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Return what the graph reads of one window: normalised frames (1, T, B, H, W).

        Raises:
            ValueError: As :meth:`predict`.
        """
        return self._prepare(frames)[0][None]

    def _prepare(self, frames: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[int, int]]:
        """Return normalised frames (T, B, H, W), filled up, and their size before that."""
        if len(frames) != self.facts.dates:
            raise ValueError(f"'{self.path}' reads {self.facts.dates} date(s), and a window has "
                             f'{len(frames)}')
        count, found = len(self.record.preparation.mean), frames[0].shape[2:]
        if found != (count, ):
            raise ValueError(f"'{self.path}' reads {count} bands a date, and a window has "
                             f'{found[0] if found else 1}: choose as many with bands (--bands)')
        prepared, size = prepare(frames, self.record.preparation)
        if self._fixed is None or prepared.shape[-2:] == self._fixed:
            return prepared, size
        missing = [side - own for side, own in zip(self._fixed, prepared.shape[-2:], strict=True)]
        if min(missing) < 0:
            raise ValueError(f"'{self.path}' takes windows of up to {self._fixed[0]} x "
                             f'{self._fixed[1]} pixels, found {size[0]} x {size[1]}')
        return np.pad(prepared, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1]))), size

    def _answer(self, frames: np.ndarray, inner: list[tuple[int, int]],
                sizes: list[tuple[int, int]], describe: list[Describe]
                ) -> list[WindowPrediction]:
        """Answer windows of one shape.

        Args:
            frames: (N, T, B, H, W).
            inner: (h, w) of each before it was filled up.
            sizes: (h, w) of each in the image.
            describe: As for ``predict``.
        """
        found = self._session.run(self._outputs, {'frames': frames})
        outputs = dict(zip(self._outputs, found, strict=True))
        maps, dates = [None] * len(frames), [None] * len(frames)
        if 'change_logits' in outputs:
            maps = [probabilities(resize_scores(scores[:, :height, :width], size))
                    for scores, (height, width), size
                    in zip(outputs['change_logits'], inner, sizes, strict=True)]
        if 'class_logits' in outputs:
            dates = [np.stack([_shares(resize_scores(date[:, :height, :width], size))
                               for date in scores]) for scores, (height, width), size
                     in zip(outputs['class_logits'], inner, sizes, strict=True)]
        flags = [None] * len(frames)
        if 'flag_logits' in outputs:
            flags = [float(sigmoid(np.float32(logit))) for logit in outputs['flag_logits']]
        sentences: list[tuple[Sentence, ...]] = [()] * len(frames)
        told = [row for row, when in enumerate(describe) if self._decoder is not None
                and self._to_tell(when, flags[row], maps[row])]
        if told:
            for row, sentence in zip(told, self._decoder.write(outputs['memory'][told]),
                                     strict=True):
                sentences[row] = (sentence, )
        far = outputs.get('novelty')
        novelties = [None] * len(frames) if far is None else far.tolist()
        return [WindowPrediction(*answer)
                for answer in zip(maps, sentences, flags, novelties, dates, strict=True)]

    def _to_tell(self, when: Describe, flag: float | None, values: np.ndarray | None) -> bool:
        """Whether a window is put into words."""
        if when != 'changed' or self.facts.task == 'single':
            return when != 'never'
        if flag is not None:
            return flag >= 0.5
        if values is None:
            return True
        changed = values > self.facts.threshold if values.ndim == 2 else values.argmax(0) != 0
        return bool(changed.mean() >= CHANGED_SHARE)

    def tells_of_change(self, sentence: str) -> bool:
        """Return whether a sentence says that something changed."""
        return not says_no_change(sentence, self.facts.no_change_captions,
                                  self.facts.language or 'en')


def in_language(facts: ModelFacts, caption: CaptionRecord, language: str | None
                ) -> tuple[ModelFacts, CaptionRecord]:
    """Return facts and rules of an export whose sentences are in another language.

    Raises:
        ValueError: If the exported model does not write in it.
    """
    if language is None or language == facts.language:
        return facts, caption
    if language not in caption.others:
        known = ' and '.join(f"'{name}'" for name in (facts.language, *caption.others))
        raise ValueError(f"language='{language}': this exported model writes {known} only")
    stock = stock_sentences(dict(language=facts.language,
                                 no_change_captions=facts.no_change_captions), language)
    return (replace(facts, language=language, no_change_captions=stock),
            replace(caption, rules=caption.others[language], others={}))


def with_window(facts: ModelFacts, window: int | None, overlap: int | None) -> ModelFacts:
    """Return the facts with another window.

    Raises:
        ValueError: If it is no whole number above 0, or the overlap none below it.
    """
    if window is None and overlap is None:
        return facts
    size = facts.window if window is None else (window, window)
    if size is None or min(size) < 1:
        raise ValueError(f'window={window}, overlap={overlap}: expected a window of at least 1 '
                         'pixel; this file does not say what its training images covered'
                         if size is None else f'window={window}: expected at least 1 pixel')
    own = tuple(side // 4 for side in size) if overlap is None else (overlap, overlap)
    if not all(0 <= shared < side for shared, side in zip(own, size, strict=True)):
        raise ValueError(f'windows of {size[0]} x {size[1]} pixels cannot overlap by {overlap}: '
                         f'give an overlap from 0 to {min(size) - 1}, or a larger window')
    return replace(facts, window=size, overlap=own)


def prepare(frames: Sequence[np.ndarray], preparation: Preparation
            ) -> tuple[np.ndarray, tuple[int, int]]:
    """Resize, normalise and fill up a window.

    Args:
        frames: T dates, uint8 (h, w, B).
        preparation: How.

    Returns:
        Frames float32 (T, B, H, W), and (h, w) before they were filled up.
    """
    for size, kept in preparation.resize:
        goal = size_within(size, *frames[0].shape[:2]) if kept else size
        frames = [resize_frame(frame, goal) for frame in frames]
    height, width = frames[0].shape[:2]
    filled = preparation.filled(height, width)
    # Filled up after normalisation: 0 is then the mean colour.
    batch = np.zeros((len(frames), len(preparation.mean), *filled), np.float32)
    mean, std = (np.array(values, np.float32) for values in (preparation.mean, preparation.std))
    for date, frame in zip(batch, frames, strict=True):
        scaled = (frame.astype(np.float32) / np.float32(255) - mean) / std
        date[:, :height, :width] = scaled.transpose(2, 0, 1)
    return batch, (height, width)


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return (np.tanh(values * np.float32(0.5)) + 1) * np.float32(0.5)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return P(changed) (H, W) of one or two classes, else the probability of each (C, H, W)."""
    if len(logits) == 1:
        return sigmoid(logits[0])
    if len(logits) == 2:
        return sigmoid(logits[1] - logits[0])
    return _shares(logits)


def _shares(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over classes of logits (C, H, W)."""
    powers = np.exp(logits - logits.max(0))
    return powers / powers.sum(0)


class SessionDecoder:
    """Decoder of an exported captioner: two sessions, and what the rows have read so far.

    Args:
        start: Graph from the memory to what is computed once a sample.
        step: Graph of one step.
        record: How it writes.
    """

    def __init__(self, start: Any, step: Any, record: CaptionRecord) -> None:
        self._start, self._step, self.record = start, step, record
        self._starts = [value.name for value in start.get_outputs()]
        self._inputs = {value.name: value for value in step.get_inputs()}
        self._returns = [value.name for value in step.get_outputs()]
        self._held: dict[str, np.ndarray] = {}

    def write(self, memory: np.ndarray) -> list[Sentence]:
        """Write about samples with the memory (R, L, C) or (R, C)."""
        started = self._start.run(self._starts, {'memory': memory})
        self._held = dict(zip(self._starts, started, strict=True))
        # What nothing has been read into yet is empty: (R, heads, 0, width) of keys and values.
        for name, value in self._inputs.items():
            if name != 'ids' and name not in self._held:
                shape = [side if isinstance(side, int) else 0 for side in value.shape]
                self._held[name] = np.zeros((len(memory), *shape[1:]), np.float32)
        written = greedy_search(self, len(memory), self.record.rules)
        self._held = {}
        rules = self.record.rules
        return [Sentence(self.record.detokenizer.decode(ids), score, cut_at=(
            None if ids[-1:] and ids[-1] in rules.stop_ids else rules.max_tokens))
            for ids, score in written]

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Read ids (R, t) and return logits (R, V)."""
        feed = {name: value for name, value in self._held.items() if name in self._inputs}
        logits, *state = self._step.run(self._returns, feed | {'ids': ids})
        for name, value in zip(self._returns[1:], state, strict=True):
            self._held[name.removeprefix('new_')] = value
        # What is read once has been read.
        for name in self._held:
            if name.startswith('once'):
                self._held[name] = self._held[name][:, :0]
        return logits

    def keep(self, rows: np.ndarray) -> None:
        """Go on with these rows alone."""
        self._held = {name: value[rows] for name, value in self._held.items()}
