"""Export of a trained model to ONNX: graphs, record, and a comparison with torch.

The graphs are written by torch's exporter (``torch.export`` and onnxscript). What cannot be
exported is refused with the reason before anything is written; what was exported is run and
compared with torch before it gets its name.
"""
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from rscc.deployment.calibration_data import calibration_data
from rscc.deployment.graphs import (
    EncoderGraph,
    SixBandGraph,
    StartGraph,
    StepGraph,
    decoder_graphs,
    make_traceable,
)
from rscc.deployment.greedy import GreedyRules
from rscc.deployment.int8 import CHOICES, quantise
from rscc.deployment.metadata import (
    KEY,
    OPSET,
    PART_KEY,
    CaptionRecord,
    Preparation,
    Record,
    digest,
    part_says,
    plugin_metadata,
)
from rscc.deployment.onnx_predictor import axes_of, open_session, part_path
from rscc.inference.loading import LoadedModel
from rscc.inference.model_pass import ModelPass
from rscc.inference.preparation import image_steps
from rscc.models.adaptation import merge_lora
from rscc.models.caption_heads.base import CaptionHead
from rscc.models.data_preprocessor import ChangeDataPreprocessor
from rscc.models.encoders.base import StoredFeatures
from rscc.models.fusion.language_guided_fusion import LanguageGuidedFusion
from rscc.models.interpreter import ChangeInterpreter
from rscc.scenes.torch_predictor import facts_of
from rscc.utils import check_choice, require
from rscc.utils.logging import log_from

#: Furthest that a score may be from torch's, relative to the largest.
TOLERANCE = 1e-3
_OPSETS = range(18, 24)
_STEPS = ('LoadFrames', 'FramesResize', 'PackChangeInputs')
#: Sides that images of any size are traced at, times the divisor: no table has them.
_TRACED = (3, 5)


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export to ONNX.

    Attributes:
        opset: Of the graphs, 18 to 23.
        six_band: One input of six bands, one output of probabilities, for other programs.
        captions: Sentences too, where the model has a caption head.
        window, overlap: In pixels of the image, in place of what the training says.
        overrides: Settings of the config by dotted key.
        int8: What gets int8 weights, one of ``rscc.deployment.int8.CHOICES``; None for nothing.
        calibration: Images for int8, see ``calibration_data``; None for those of the config.
    """
    opset: int = OPSET
    six_band: bool = False
    captions: bool = True
    window: int | None = None
    overlap: int | None = None
    overrides: Mapping[str, Any] | None = None
    int8: str | None = None
    calibration: str | os.PathLike | None = None


@dataclass(frozen=True)
class Exported:
    """Result of an export: files, their record and how well they agree with torch.

    Attributes:
        files: The main file first.
        record: What it says of itself.
        axes: Inputs and outputs of its graph with their axes, a name where an axis may vary.
        difference: Largest difference of a score from torch's, relative to the largest score.
    """
    files: list[Path]
    record: Record
    axes: dict[str, list[int | str]]
    difference: float


def export_onnx(model: str | os.PathLike | Config | None,
                checkpoint: str | os.PathLike | None, out: str | os.PathLike,
                options: ExportOptions | None = None) -> Exported:
    """Write a trained model as ONNX.

    Args:
        model: As for ``ChangeInferencer``: the config, or without ``checkpoint`` the checkpoint.
        checkpoint: The checkpoint, where ``model`` is the config.
        out: ``NAME.onnx``; a captioner's decoder becomes ``NAME.start.onnx`` and
            ``NAME.step.onnx`` beside it.
        options: What is exported.

    Raises:
        ImportError: If onnx, onnxscript or onnxruntime is not installed.
        ValueError: If the model, or an option of it, cannot be exported; or if the exported graphs
            do not answer as torch does, or in int8 not as in float.
    """
    options, out = options or ExportOptions(), Path(out)
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        require(package, 'export to ONNX')
    if out.suffix != '.onnx':
        raise ValueError(f"the exported file '{out}' must end in .onnx")
    if options.opset not in _OPSETS:
        raise ValueError(f'opset {options.opset}: expected {_OPSETS.start} to {_OPSETS.stop - 1}')
    model_pass = ModelPass.of(model, checkpoint, 'cpu', cfg_options=options.overrides,
                              window=options.window, overlap=options.overlap)
    loaded = model_pass.loaded
    check_exportable(loaded, options)
    record = record_of(model_pass, options)
    # Read before the work: images that are not there should end it at once.
    images = calibration_data(model_pass, options.calibration) if options.int8 else None
    prepare_model(loaded.model, record.facts.dates)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Whole files only: the main one, which the others belong to, last.
    with torch.no_grad(), tempfile.TemporaryDirectory(prefix='.onnx-', dir=out.parent) as folder:
        write = Writer(loaded.model, record, Path(folder) / out.name)
        if options.six_band:
            write.six_bands()
        else:
            write.model_files()
        if images is not None:
            record = replace(record, int8=quantise(write.path, write.path, images.windows,
                                                   images.source, options.int8))
        files = sorted(Path(folder).iterdir(), key=lambda path: path.name == out.name)
        for path in files:
            os.replace(path, out.parent / path.name)
    written = [out, *(out.parent / path.name for path in files[:-1])]
    return Exported(written, record, axes_of(open_session(out)), max(write.differences))


def check_exportable(loaded: LoadedModel, options: ExportOptions) -> None:
    """Refuse what a graph cannot do; ValueError with the reason and the way out."""
    model = loaded.model
    if not isinstance(model, ChangeInterpreter):
        raise ValueError(f'{type(model).__name__} cannot be exported: only ChangeInterpreter is '
                         'known to have encoder, fusion and heads')
    if isinstance(model.encoder, StoredFeatures):
        raise ValueError('StoredFeatures reads features, and an exported model reads images: '
                         'export with the encoder that the features came from, --cfg-options '
                         'model.encoder.type=...')
    if not isinstance(model.data_preprocessor, ChangeDataPreprocessor):
        raise ValueError(f'the normalisation of {type(model.data_preprocessor).__name__} is '
                         'unknown; expected ChangeDataPreprocessor')
    if not model.test_time().plain:
        raise ValueError(f'test_cfg={model.test_cfg} asks for several calls an image, and the '
                         'exported graph is one: add --cfg-options model.test_cfg.mode=whole '
                         "model.test_cfg.views=\"('none',)\"")
    if model.prompter is not None and model.prompter.answers_for_all() is None:
        raise ValueError(f'{type(model.prompter).__name__} names the classes of every image anew, '
                         'and the exported graph has fixed ones: add --cfg-options '
                         "model.prompter.type=FixedPrompts model.prompter.names=\"['building']\"")
    if options.six_band and (model.change_head is None or loaded.meta.get('task') == 'single'):
        raise ValueError('six bands are two dates for a change map, and this model has '
                         f'{", ".join(loaded.heads)} and reads '
                         f'{"single images" if loaded.meta.get("task") == "single" else "pairs"}')
    if options.int8:
        check_choice('int8', options.int8, CHOICES)
    if options.int8 and options.six_band:
        raise ValueError('a six-band file is for other programs, whose answers cannot be compared '
                         'here: export it without int8')
    if options.calibration is not None and not options.int8:
        raise ValueError(f"'{options.calibration}' is to calibrate int8, which was not asked for: "
                         'add --int8')
    if options.int8 == 'words' and (loaded.caption_head is None or not options.captions):
        raise ValueError('int8 of words is for the decoder of sentences, and none is exported: '
                         'use --int8 or --int8 images')
    if not options.captions and not (set(loaded.heads) - {'caption_head'}):
        raise ValueError('without its sentences this model has nothing to say: it has no other '
                         'head than caption_head')


def prepare_model(model: ChangeInterpreter, dates: int) -> None:
    """Make the model one that can be traced, in place: texts fixed, adapters merged."""
    merge_lora(model)
    names = [[]] * dates if model.prompter is None else [model.prompter.answers_for_all()] * dates
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LanguageGuidedFusion):
                module.fix_texts(names)
    model.prompter = None
    make_traceable(model)


def record_of(model_pass: ModelPass, options: ExportOptions) -> Record:
    """Return what the exported file will say of itself.

    Raises:
        ValueError: If the test pipeline or the decoding options cannot be followed without torch.
    """
    loaded, facts = model_pass.loaded, facts_of(model_pass)
    steps = image_steps(loaded.cfg)
    unknown = [step['type'] for step in steps if step['type'] not in _STEPS]
    if unknown:
        raise ValueError(f'the test pipeline prepares images by {unknown}, which exported models '
                         f'do not know: they know {list(_STEPS)}')
    preprocessor = loaded.model.data_preprocessor
    resize = tuple((_size(step['size']), bool(step.get('keep_ratio', False)))
                   for step in steps if step['type'] == 'FramesResize')
    preparation = Preparation(resize, *(tuple(float(str(np.float32(value))) for value in
                                              buffer.flatten().tolist()) for buffer in
                                        (preprocessor.mean, preprocessor.std)),
                              preprocessor.size_divisor)
    captions = options.captions and not options.six_band and loaded.model.caption_head is not None
    caption = _caption_record(loaded.model.caption_head, loaded.speak()[0]) if captions else None
    if caption is None:
        kept = [name for name in facts.heads if name != 'caption_head' and not (
            options.six_band and name != 'change_head')]
        facts = replace(facts, heads=tuple(kept), language=None, no_change_captions=())
    return Record(facts, preparation, caption, 'six-band' if options.six_band else 'model',
                  options.opset)


def _size(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _caption_record(head: CaptionHead, language: str | None) -> CaptionRecord:
    """Return how a caption head writes, in the language given unless another is asked for.

    Raises:
        ValueError: If it cannot be exported, or its words or decoding options cannot.
    """
    graphs, options = decoder_graphs(head), head.decoding
    for name in ('sample', 'return_attention'):
        if getattr(options, name):
            raise ValueError(f'the decoding option {name}=True cannot be exported, which searches '
                             f'greedily: add --cfg-options model.caption_head.decoding.{name}='
                             'False')
    if options.num_beams > 1:
        print_log(f'the config searches with num_beams={options.num_beams}, exported files '
                  'greedily: sentences are those of num_beams=1', 'current')
    rules = {language: GreedyRules(
        tuple(graphs.first_ids(language)), tuple(head.given(language)),
        tuple(sorted(set(head.stop_ids))), tuple(head.banned(language)), options.max_tokens,
        options.min_tokens, float(options.repetition_penalty), options.no_repeat_ngram)
        for language in head.languages}
    detokenizer = head.tokenizer.detokenizer()
    if detokenizer is None:
        raise ValueError(f'{type(head.tokenizer).__name__} has no detokenizer() to put into the '
                         'file, so that ids would stay ids')
    draw = np.random.default_rng(0)
    tried = [[number] for number in range(len(detokenizer.entries))]
    tried += [draw.integers(len(detokenizer.entries), size=12).tolist() for _ in range(200)]
    wrong = next((ids for ids in tried
                  if detokenizer.decode(ids) != head.tokenizer.decode(ids)), None)
    if wrong is not None:
        raise ValueError(f'{type(head.tokenizer).__name__} joins the ids {wrong} to '
                         f'{head.tokenizer.decode(wrong)!r}, and its table to '
                         f'{detokenizer.decode(wrong)!r}: it is of an unknown kind')
    first = rules.pop(language if language in rules else head.languages[0])
    return CaptionRecord(first, detokenizer, rules)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep back what the exporter says about its own inside."""
    with log_from(logging.getLogger('onnxscript'), logging.ERROR), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def _reason(error: BaseException) -> str:
    """Return the first line of what an exporter's error comes from."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {lines[0][:300]}'


class Writer:
    """Writes the graphs of one model and compares them with torch.

    Args:
        model: Prepared by ``prepare_model``.
        record: What the main file will say of itself.
        path: The main file.
    """

    def __init__(self, model: ChangeInterpreter, record: Record, path: Path) -> None:
        self.model, self.record, self.path = model, record, path
        if record.caption is None:
            model.caption_head = None
        self.differences = [0.0]

    def model_files(self) -> None:
        """Write encoder and decoder."""
        graph = EncoderGraph(self.model).eval()
        frames = self._frames(self.record.preparation.fixed_size)
        if frames is None:
            frames = self._any_size(graph)
        else:
            self._write(self.path, graph, [frames], ['frames'], graph.names,
                        {'frames': {0: 'batch'}}, {KEY: self.record.to_json()})
        if self.record.caption is not None:
            self._decoder(graph(frames)[-1])

    def _frames(self, size: tuple[int, int] | None, samples: int = 2) -> Tensor | None:
        """Return drawn frames (N, T, B, H, W)."""
        if size is None:
            return None
        draw = torch.Generator().manual_seed(sum(size))
        return torch.randn(samples, self.record.facts.dates, len(self.record.preparation.mean),
                           *size, generator=draw)

    def _any_size(self, graph: EncoderGraph) -> Tensor:
        """Write a graph for images of any size, or where none can be made for windows alone."""
        divisor = self.record.preparation.size_divisor
        # As small as the model allows: sides that no table of positions has, one unlike the other.
        unit = divisor * -(-32 // divisor)
        frames = self._frames(tuple(unit * times for times in _TRACED))
        names = ('height', 'width')
        sides = names if divisor == 1 else [divisor * torch.export.Dim(name) for name in names]
        shapes = {'frames': {0: 'batch', 3: sides[0], 4: sides[1]}}
        record = {KEY: self.record.to_json()}
        try:
            session = self._write(self.path, graph, [frames], ['frames'], graph.names, shapes,
                                  record)
            self._compare(session, graph, [self._frames((4 * unit, 2 * unit), 1)], ['frames'])
        except ValueError as error:
            size = self.record.facts.window
            if size is None:
                raise ValueError('the model cannot be traced for images of any size, and it is '
                                 'not known what a training image covered: give --window PIXELS '
                                 f'({error})') from error
            size = self.record.preparation.filled(*size)
            print_log('the model cannot be traced for images of any size; the exported file takes '
                      f'windows of up to {size[0]} x {size[1]} pixels', 'current', 30)
            self.differences, frames = [0.0], self._frames(size)
            self._write(self.path, graph, [frames], ['frames'], graph.names,
                        {'frames': {0: 'batch'}}, record)
        return frames

    def _decoder(self, memory: Tensor) -> None:
        """Write both graphs of the decoder."""
        graphs = decoder_graphs(self.model.caption_head)
        belongs = digest(self.record.to_json())
        length = {} if memory.ndim == 2 else {1: 'length'}
        started = graphs.start(memory).named()
        self._write(part_path(self.path, 'start'), StartGraph(graphs).eval(), [memory], ['memory'],
                    list(started), {'memory': {0: 'rows', **length}}, self._says('start', belongs))
        inputs = graphs.example(memory)
        roles, ids = vars(inputs), torch.ones(len(memory), 2 if graphs.reads_several else 1).long()
        shapes = {'ids': {0: 'rows', 1: 'ids'} if graphs.reads_several else {0: 'rows'}} | {
            role: [{0: 'rows', **graphs.axes.get(role, {})} for _ in tensors]
            for role, tensors in roles.items()}
        state = [f'new_{name}' for name in inputs.named() if name.startswith('state')]
        self._write(part_path(self.path, 'step'), StepGraph(graphs).eval(), [ids, *roles.values()],
                    ['ids', *inputs.named()], ['logits', *state], shapes,
                    self._says('step', belongs))

    @staticmethod
    def _says(part: str, belongs: str) -> dict[str, str]:
        return {PART_KEY: part_says(part, belongs)}

    def six_bands(self) -> None:
        """Write one graph from six bands to probabilities, with what QGIS plugins read.

        Of B bands a date there are 2 B.
        """
        facts, preparation = self.record.facts, self.record.preparation
        size = preparation.fixed_size or (facts.window and preparation.filled(*facts.window))
        if size is None or size[0] != size[1]:
            raise ValueError('a six-band graph has one square size, and '
                             + ('it is not known what a training image covered'
                                if size is None else f'this model reads {size[0]} x {size[1]}')
                             + ': give --window PIXELS')
        graph = SixBandGraph(self.model).eval()
        bands = torch.rand(2, 2 * len(preparation.mean), *size,
                           generator=torch.Generator().manual_seed(0))
        says = plugin_metadata(facts, size[0], channels=graph(bands)[0].shape[1])
        self._write(self.path, graph, [bands], ['bands'], ['probabilities'],
                    {'bands': {0: 'batch'}}, says | {KEY: self.record.to_json()})

    def _write(self, path: Path, module: nn.Module, arguments: list, inputs: list[str],
               outputs: list[str], shapes: dict, says: Mapping[str, str]) -> Any:
        """Write one graph, compare it with torch, and return its session."""
        try:
            with _quiet_exporter():
                program = torch.onnx.export(
                    module, tuple(arguments), input_names=inputs, output_names=outputs,
                    dynamic_shapes=shapes, opset_version=self.record.opset, dynamo=True,
                    verbose=False)
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(f"torch's exporter cannot write '{path.name}': {_reason(error)}"
                             ) from error
        program.model.metadata_props.update(says)
        program.save(path)
        session = open_session(path)
        self._compare(session, module, arguments, inputs)
        return session

    def _compare(self, session: Any, module: nn.Module, arguments: list, inputs: list[str]) -> None:
        """Note how far the graph is from torch; ValueError where it is too far."""
        flat = [tensor for argument in arguments for tensor in
                (argument if isinstance(argument, list) else [argument])]
        known = {value.name for value in session.get_inputs()}
        feed = {name: tensor.numpy() for name, tensor in zip(inputs, flat, strict=True)
                if name in known}
        try:
            found = session.run(None, feed)
        except Exception as error:  # onnxruntime raises kinds of its own
            raise ValueError('the exported graph does not run: '
                             f'{str(error).strip().splitlines()[0][:300]}') from error
        for output, own, true in zip(session.get_outputs(), found, module(*arguments),
                                     strict=True):
            self.differences.append(_difference(own, true.numpy()))
            if not self.differences[-1] <= TOLERANCE:
                raise ValueError(f"the exported graph does not answer as torch does: '{output.name}"
                                 f"' {list(own.shape)} differs by {self.differences[-1]:.2g} of "
                                 f'its largest value, at most {TOLERANCE:g} was expected; try '
                                 'another --opset')


def _difference(own: np.ndarray, true: np.ndarray) -> float:
    """Return the largest difference over the largest value; infinite between other shapes."""
    if own.shape != true.shape:
        return float('inf')
    if not true.size:
        return 0.0
    return float(np.abs(own - true).max() / max(np.abs(true).max(), 1e-3))
