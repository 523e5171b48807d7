"""Exported models in int8: their files, and what their answers lose beside the float ones.

Convolutions are static: weights, what they read and what they write have eight bits, on scales
taken from calibration windows, and so has what goes on behind them (ReLU, sums, resizing). Matrix
products are dynamic: weights have eight bits, and the scale of what they read is taken anew in
every call. Layers that give scores of maps and flag stay in float. Weights use seven of their eight
bits, because processors without VNNI instructions overflow on more. ``onnxruntime.quantization``
does it; neither torch nor MMEngine is imported.
"""
import difflib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rscc.deployment.metadata import KEY, PART_KEY, PARTS, Int8Loss, Int8Record, digest, part_says
from rscc.deployment.onnx_predictor import OnnxPredictor, part_path
from rscc.scenes.contracts import CHANGED_SHARE, WindowPrediction
from rscc.utils import check_choice, require

#: What is quantised -> whether it is the graphs of images (with heads), and those of words.
CHOICES = {'all': (True, True), 'images': (True, False), 'words': (False, True)}
#: Beyond these an int8 file does not answer as its float file does: share of the pixels that change
#: class, common share of the changed pixels, likeness of the sentences, and by how much the
#: probability of a change moves on average.
MOST_PIXELS, LEAST_OVERLAP, LEAST_LIKENESS, MOST_MOVED = 0.25, 0.5, 0.5, 0.25
#: Share of a graph's weights in convolutions from which on these are quantised. Below it they are
#: the first layer of a transformer, the most sensitive one.
CONVOLUTIONAL = 0.1
_SCORES = ('change_logits', 'class_logits', 'flag_logits')
_WEIGHED = ('Conv', 'MatMul', 'Gemm')
#: What goes on in eight bits behind convolutions, so that nothing is scaled back and forth between
#: them -> how many of its inputs are data; None for all.
_FOLLOWING = {'Relu': 1, 'Clip': 1, 'MaxPool': 1, 'AveragePool': 1, 'GlobalAveragePool': 1,
              'Resize': 1, 'Add': None, 'Concat': None}

Window = Sequence[np.ndarray]


def quantise(path: str | os.PathLike, out: str | os.PathLike, windows: Sequence[Window],
             data: str, choice: str = 'all') -> Int8Record:
    """Write an exported model anew in int8, and compare its answers with those of the float file.

    Every second window calibrates, the others are compared; one alone does both.

    Args:
        path: ``NAME.onnx`` as the export wrote it, its decoder beside it.
        out: The same of the int8 model, in another folder or by another name.
        windows: Of each its dates, uint8 (h, w, B), such as the model will see.
        data: What the windows are, for the record.
        choice: ``'images'`` (encoder and heads), ``'words'`` (the decoder) or ``'all'``.

    Returns:
        What the file says of it.

    Raises:
        ImportError: If onnx or onnxruntime is not installed.
        ValueError: If there is no window, the file is in int8 already or has none of the parts
            asked for, or the int8 files do not answer as the float ones do. Nothing remains then.
    """
    check_choice('int8', choice, CHOICES)
    path, out = Path(path), Path(out)
    model = OnnxPredictor(path)
    images, words = CHOICES[choice]
    words = words and model.record.caption is not None
    _check(model, images or words, len(windows), path)
    calibrating, held_back = windows[::2], windows[1::2] or windows
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.int8-', dir=out.parent) as folder:
        made = Path(folder) / out.name
        feeds = [{'frames': model.inputs(window)} for window in calibrating]
        counts = _graph(path, made, feeds if images else None)
        for part in PARTS if model.record.caption is not None else ():
            counts += _graph(part_path(path, part), part_path(made, part), [] if words else None)
        parts = tuple(name for name, done in (('images', images), ('words', words)) if done)
        told = Int8Record(parts, int(counts[0]), int(counts[1]), len(calibrating), data)
        _label(made, replace(model.record, int8=told))
        told = replace(told, loss=compare(model, OnnxPredictor(made), held_back))
        check_loss(told.loss, out)
        _label(made, replace(model.record, int8=told))
        # Whole files only: the main one, which the others belong to, last.
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == out.name):
            os.replace(file, out.parent / file.name)
    return told


def _check(model: OnnxPredictor, any_part: bool, windows: int, path: Path) -> None:
    if model.record.int8 is not None:
        raise ValueError(f"'{path}' is in int8 already; quantise the float file")
    if not any_part:
        raise ValueError(f"'{path}' writes no sentences, so that int8 for its words has nothing "
                         "to do: choose 'images'")
    if not windows:
        raise ValueError('int8 needs images to be calibrated on and compared with: found none')


def _label(path: Path, record: Any) -> None:
    """Write the record into a main file and the decoder beside it."""
    text = record.to_json()
    _write_metadata(path, {KEY: text})
    for part in PARTS if record.caption is not None else ():
        _write_metadata(part_path(path, part), {PART_KEY: part_says(part, digest(text))})


def _write_metadata(path: Path, says: Mapping[str, str]) -> None:
    onnx = require('onnx', 'int8')
    model = onnx.load(str(path), load_external_data=False)
    onnx.helper.set_model_props(model, dict(says))
    onnx.save(model, str(path))


# ---- graphs ------------------------------------------------------------------------------------


def _graph(path: Path, out: Path, feeds: list[dict[str, np.ndarray]] | None) -> np.ndarray:
    """Write one graph in int8, or as it is where ``feeds`` is None.

    Args:
        path: The float graph.
        out: The int8 one.
        feeds: Inputs that calibrate convolutions.

    Returns:
        How many convolutions and how many matrix products were quantised (2,).
    """
    beside = path.with_name(f'{path.name}.data')  # the weights of a large one
    if feeds is None:
        shutil.copyfile(path, out)
        if beside.is_file():
            shutil.copyfile(beside, out.with_name(beside.name))
        return np.zeros(2, int)
    with tempfile.TemporaryDirectory(prefix='.graph-', dir=out.parent) as folder, _quietly():
        return _quantised(path, out, feeds, Path(folder), beside.is_file())


def _quantised(path: Path, out: Path, feeds: list[dict[str, np.ndarray]], folder: Path, large: bool
               ) -> np.ndarray:
    """Write one graph in int8, by way of files in ``folder``; return the counts as ``_graph``."""
    tools = require('onnxruntime.quantization', 'int8')
    plain = folder / 'plain.onnx'
    tools.shape_inference.quant_pre_process(
        path, plain, skip_symbolic_shape=True, save_as_external_data=large,
        all_tensors_to_one_file=True, external_data_location='plain.onnx.data')
    graph = require('onnx', 'int8').load(str(plain), load_external_data=False).graph
    kept, weights = _score_layers(graph), _weights(graph)
    static = _static_nodes(graph, weights, kept) if feeds else []
    products = [name for name, (kind, _) in weights.items() if kind != 'Conv' and name not in kept]
    # A Gemm is split before it is quantised, and its product gets this name.
    shared = dict(per_channel=True, reduce_range=True, weight_type=tools.QuantType.QInt8,
                  nodes_to_exclude=sorted([*kept, *(f'{name}_MatMul' for name in kept)]),
                  use_external_data_format=large)
    if static:
        tools.quantize_static(
            plain, folder / 'static.onnx', _reader(tools, feeds),
            quant_format=tools.QuantFormat.QDQ, activation_type=tools.QuantType.QUInt8,
            op_types_to_quantize=['Conv', *_FOLLOWING], nodes_to_quantize=static, **shared)
        plain = folder / 'static.onnx'
    tools.quantize_dynamic(plain, out, op_types_to_quantize=['MatMul', 'Gemm'], **shared)
    return np.array([sum(name in weights for name in static), len(products)])


def _weights(graph: Any) -> dict[str, tuple[str, int]]:
    """Return the layers with weights of their own: name of the node -> (kind, weights)."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    return {node.name: (node.op_type, sizes[node.input[1]]) for node in graph.node
            if node.op_type in _WEIGHED and node.input[1] in sizes}


def _static_nodes(graph: Any, weights: Mapping[str, tuple[str, int]], kept: set[str]) -> list[str]:
    """Return the names of the convolutions, and of what goes on in eight bits behind them.

    None where convolutions are not what the graph is made of.
    """
    total = sum(size for _, size in weights.values())
    if sum(size for kind, size in weights.values() if kind == 'Conv') < CONVOLUTIONAL * total:
        return []
    found, inside = [], set()
    for node in graph.node:  # each stands behind those that it reads
        data = node.input[:_FOLLOWING.get(node.op_type)]
        follows = node.op_type in _FOLLOWING and all(name in inside for name in data)
        of_weights = weights.get(node.name, ('', 0))[0] == 'Conv' and node.name not in kept
        if node.name and (of_weights or follows):
            found.append(node.name)
            inside |= {*node.output}
    return found


def _score_layers(graph: Any) -> set[str]:
    """Return the names of the nodes with weights that give scores: the last before each output."""
    makers = {name: node for node in graph.node for name in node.output}
    weights, found, seen = _weights(graph), set(), set()
    open_ends = [value.name for value in graph.output if value.name in _SCORES]
    while open_ends:
        name = open_ends.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.name in weights:
            found.add(node.name)
        else:
            open_ends += node.input
    return found


def _reader(tools: Any, feeds: Sequence[dict[str, np.ndarray]]) -> Any:
    """Return what calibration reads its inputs from."""
    class Feeds(tools.CalibrationDataReader):
        """Feeds one after the other, then None."""

        def __init__(self) -> None:
            self._rest = iter(feeds)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._rest, None)

    return Feeds()


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back the advice that onnxruntime gives at every call."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


# ---- loss --------------------------------------------------------------------------------------


def compare(one: OnnxPredictor, other: OnnxPredictor, windows: Sequence[Window]) -> Int8Loss:
    """Have two files of one model answer the same windows, and count what differs.

    Args:
        one: The float file.
        other: The int8 one.
        windows: Of each its dates.
    """
    pixels, either, both = np.zeros(2), 0, 0
    likeness, moved, flags = [], [], 0
    for window in windows:
        mine, theirs = (model.predict([window], ['always'])[0] for model in (one, other))
        maps = [_class_maps(answer, one.facts.threshold) for answer in (mine, theirs)]
        for own, found in zip(*maps, strict=True):
            pixels += (own != found).sum(), own.size
        if mine.probabilities is not None:  # then the map of the change is the first
            own, found = (of_file[0] != 0 for of_file in maps)
            either, both = either + (own | found).sum(), both + (own & found).sum()
        if mine.sentences:
            likeness.append(difflib.SequenceMatcher(
                None, mine.sentences[0].text, theirs.sentences[0].text, False).ratio())
        if mine.change_probability is not None:
            own, found = mine.change_probability, theirs.change_probability
            moved.append(abs(own - found))
            flags += (own >= 0.5) != (found >= 0.5)
    shares = dict(pixels=float(pixels[0] / pixels[1]), changed=float(either / pixels[1]),
                  overlap=float(both / either) if either else 1.0) if pixels[1] else {}
    return Int8Loss(
        len(windows), **shares,
        sentences=sum(ratio < 1 for ratio in likeness) if likeness else None,
        likeness=float(np.mean(likeness)) if likeness else None,
        flags=int(flags) if moved else None, moved=float(np.mean(moved)) if moved else None)


def _class_maps(answer: WindowPrediction, threshold: float) -> list[np.ndarray]:
    """Return the class maps of an answer (h, w): of the change first, then those of both dates.

    Scores that are no numbers are class -1, which no other file gives.
    """
    values, dates = answer.probabilities, answer.class_probabilities
    found = [] if values is None else [
        np.where(np.isfinite(values), values > threshold, -1) if values.ndim == 2 else
        np.where(np.isfinite(values).all(0), values.argmax(0), -1)]
    return found + [date.argmax(0) for date in (() if dates is None else dates)]


def check_loss(loss: Int8Loss, path: Path) -> None:
    """Refuse an int8 file whose answers are not those of its float file.

    Raises:
        ValueError: With what differs, what was expected and what to do.
    """
    wrong = []
    if loss.pixels is not None and not loss.pixels <= MOST_PIXELS:
        wrong.append(f'{loss.pixels:.0%} of the pixels changed class, at most {MOST_PIXELS:.0%} '
                     'was expected')
    if loss.overlap is not None and loss.changed >= CHANGED_SHARE and not (
            loss.overlap >= LEAST_OVERLAP):
        wrong.append(f'of the pixels that either calls changed both do {loss.overlap:.0%}, '
                     f'{LEAST_OVERLAP:.0%} was expected')
    if loss.likeness is not None and not loss.likeness >= LEAST_LIKENESS:
        wrong.append(f'sentences are alike by {loss.likeness:.0%}, {LEAST_LIKENESS:.0%} was '
                     'expected')
    if loss.moved is not None and not loss.moved <= MOST_MOVED:
        wrong.append(f'the probability of a change moves by {loss.moved:.2f} on average, at most '
                     f'{MOST_MOVED} was expected')
    if wrong:
        raise ValueError(f"in int8 '{path.name}' does not answer as in float ({loss.windows} "
                         f'windows): {"; ".join(wrong)}. Calibrate on images like those that it '
                         'will answer (--calibration), or leave a part in float (--int8 words, '
                         '--int8 images)')
