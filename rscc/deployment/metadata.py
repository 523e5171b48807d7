"""The record in an exported file: everything but weights that answering needs, as JSON.

It stands under the key ``rscc`` of the file's ``metadata_props``. A captioner is three files that
belong together: ``NAME.onnx`` holds the record, ``NAME.start.onnx`` and ``NAME.step.onnx`` beside
it hold the decoder and name the record that they belong to.
"""
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from rscc.deployment.greedy import GreedyRules
from rscc.scenes.contracts import ModelFacts
from rscc.scenes.transitions import SemanticClasses
from rscc.text.detokenizer import Detokenizer
from rscc.utils.forms import check_form
from rscc.version import __version__

#: Key of the record, and of what a decoder's file says of itself.
KEY, PART_KEY = 'rscc', 'rscc_part'
#: Version of the form of the record; files of a later one are refused.
FORMAT = 1
#: Opset of the graphs unless another is asked for.
OPSET = 18
#: The decoder's files beside the main one.
PARTS = ('start', 'step')

_SIZE = ([int, int], None)
_FACTS = {
    'task': {'pair', 'single'}, 'window': _SIZE, 'overlap': [int, int], 'heads': [str],
    'classes': [str], 'palette': ([[int]], None), 'threshold': float, 'language': (str, None),
    'no_change_captions': [str], 'bands': ([int], None),
    'scale': (str, [float, float], [[float, float]], None), 'ground_resolution': (float, None),
    'rendered': bool, 'weights': str, 'weights_hash': str, 'config': str,
    'calibration?': {str: {}},
    'semantic?': ({'names': [str], 'palette': ([[int]], None), 'same_class': bool}, None),
    'normalisation?': ({'mean': [float], 'std': [float], 'source': str}, None)}
_FORM = {
    'kind': {'model', 'six-band'}, 'rscc': str, 'opset': int, 'facts': _FACTS,
    'preparation': {'resize': [{'size': [int, int], 'keep_ratio': bool}], 'mean': [float],
                    'std': [float], 'size_divisor': range(1, 4097)},
    'caption': ({'rules': object, 'detokenizer': object, 'others?': {str: object}}, None),
    'int8?': ({'parts': [{'images', 'words'}], 'convolutions': int, 'products': int,
               'windows': int, 'data': str, 'loss': {'windows': int} | dict.fromkeys(
                   ('pixels?', 'changed?', 'overlap?', 'sentences?', 'likeness?', 'flags?',
                    'moved?'), (float, None))}, None)}


@dataclass(frozen=True)
class Preparation:
    """How a window becomes what the graph reads, as in the model's test pipeline.

    Attributes:
        resize: Resizings one after the other, (H, W) and whether proportions are kept.
        mean, std: Of every band, red, green and blue first, on the 0-1 scale.
        size_divisor: Height and width are filled up with the mean colour to a multiple of it.
    """
    resize: tuple[tuple[tuple[int, int], bool], ...] = ()
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    size_divisor: int = 1

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(H, W) that every window gets, filled up; None where it follows the window."""
        if not self.resize or self.resize[-1][1]:
            return None
        return self.filled(*self.resize[-1][0])

    def filled(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width rounded up to multiples of the divisor."""
        divisor = self.size_divisor
        return -(-height // divisor) * divisor, -(-width // divisor) * divisor


@dataclass(frozen=True)
class CaptionRecord:
    """How the decoder's files write sentences.

    Attributes:
        rules: Of the greedy search, in the language of the facts.
        detokenizer: Ids to sentence.
        others: Language -> rules of the search in it, where the model writes several.
    """
    rules: GreedyRules
    detokenizer: Detokenizer
    others: Mapping[str, GreedyRules] = field(default_factory=dict)


@dataclass(frozen=True)
class Int8Loss:
    """Differences between the answers of an int8 file and those of its float file.

    Attributes:
        windows: That both answered.
        pixels: Share of the pixels that changed class, 0 to 1; None without a change map, like the
            next two.
        changed: Share of the pixels that either file calls changed.
        overlap: Of these, the share that both do; 1 where there is none.
        sentences: How many differ; None without sentences, like the next one.
        likeness: Mean likeness of the sentences, character by character, 0 to 1.
        flags: How many differ; None without a flag head, like the next one.
        moved: By how much the probability of a change differs, on average.
    """
    windows: int = 0
    pixels: float | None = None
    changed: float | None = None
    overlap: float | None = None
    sentences: int | None = None
    likeness: float | None = None
    flags: int | None = None
    moved: float | None = None

    def __str__(self) -> str:
        """Say it in words."""
        said = []
        if self.pixels is not None:
            said.append(f'{self.pixels:.2%} of the pixels changed class; of the {self.changed:.2%} '
                        f'that either calls changed, both do {self.overlap:.1%}')
        if self.sentences is not None:
            said.append(f'{self.sentences} of {self.windows} sentences differ')
        if self.flags is not None:
            said.append(f'{self.flags} of {self.windows} flags differ, the probability of a change '
                        f'moves by {self.moved:.3f}')
        return '; '.join(said)


@dataclass(frozen=True)
class Int8Record:
    """Record of an int8 file: its parts in int8, their calibration, and the loss of quality.

    Attributes:
        parts: Of ``'images'`` (encoder and heads) and ``'words'`` (the decoder).
        convolutions: How many are static, calibrated.
        products: How many matrix products are dynamic.
        windows: That calibrated.
        data: What these were.
        loss: Measured on other windows than these, where there were several.
    """
    parts: tuple[str, ...]
    convolutions: int
    products: int
    windows: int
    data: str
    loss: Int8Loss = Int8Loss()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what :func:`dataclasses.asdict` made, keys of later versions left out."""
        loss = {name.name: data['loss'].get(name.name) for name in fields(Int8Loss)}
        known = {name.name: data[name.name] for name in fields(cls)}
        return cls(**known | dict(parts=tuple(data['parts']), loss=Int8Loss(**loss)))


@dataclass(frozen=True)
class Record:
    """Record in an exported file: its model, preparation and use.

    Attributes:
        facts: What the checkpoint tells of the model.
        preparation: Window to input.
        caption: None without sentences.
        kind: ``'model'``, or ``'six-band'`` for other programs.
        opset: Of its graphs.
        version: Of rscc that wrote it.
        int8: What of it is in int8; None of a float file.
    """
    facts: ModelFacts
    preparation: Preparation
    caption: CaptionRecord | None = None
    kind: str = 'model'
    opset: int = OPSET
    version: str = __version__
    int8: Int8Record | None = None

    def to_json(self) -> str:
        """Return the record as it stands in the file."""
        resize = [dict(size=list(size), keep_ratio=kept) for size, kept in self.preparation.resize]
        caption = self.caption and dict(rules=asdict(self.caption.rules),
                                        detokenizer=self.caption.detokenizer.to_dict())
        if caption and self.caption.others:
            caption['others'] = {name: asdict(rules) for name, rules in self.caption.others.items()}
        return json.dumps(dict(
            format=FORMAT, kind=self.kind, rscc=self.version, opset=self.opset,
            facts=asdict(self.facts), caption=caption, int8=self.int8 and asdict(self.int8),
            preparation=asdict(self.preparation) | dict(resize=resize)), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """Read a record.

        Args:
            text: As :meth:`to_json` wrote it.
            where: The file, for messages.

        Raises:
            ValueError: If it is of another form, or of a later version of it.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the record '{KEY}' of {where} is damaged ({error}); export the "
                             'model again') from error
        check_form(data, {'format': int, 'rscc': str}, f"the record '{KEY}' of {where}")
        if data['format'] != FORMAT:
            raise ValueError(f"{where} was written by rscc {data['rscc']} in format "
                             f"{data['format']} and this rscc ({__version__}) reads format "
                             f'{FORMAT}: update rscc, or export the model again')
        check_form(data, _FORM, f"the record '{KEY}' of {where}", 'Export the model again')
        facts = _facts(data['facts'])
        numbers = [float] * facts.channels
        check_form(data['preparation'], {'mean': numbers, 'std': numbers},
                   f"the record '{KEY}' of {where}: preparation", 'Export the model again')
        return cls(facts, _preparation(data['preparation']),
                   data['caption'] and _caption(data['caption'], where), data['kind'],
                   data['opset'], data['rscc'],
                   data.get('int8') and Int8Record.from_dict(data['int8']))


def digest(text: str) -> str:
    """Return what the decoder's files name a record by."""
    return hashlib.sha256(text.encode()).hexdigest()


def part_says(part: str, belongs: str) -> str:
    """Return what a decoder's file says of itself: its part, and the digest of its record."""
    return json.dumps(dict(part=part, belongs_to=belongs))


def plugin_metadata(facts: ModelFacts, side: int, channels: int) -> dict[str, str]:
    """Return what Deepness, a QGIS plugin, reads of a segmentation model: keys to JSON values.

    Args:
        facts: Of the model.
        side: Of the graph's input in pixels.
        channels: Of its output; one alone is that of "changed".
    """
    names = list(facts.classes) or ['unchanged', *(f'class {k}' for k in range(1, channels))]
    names = names[1:] or ['changed'] if channels == 1 else names
    values = {'model_type': 'Segmentor', 'class_names': dict(enumerate(names)), 'tile_size': side,
              'seg_thresh': facts.threshold}
    if facts.window is not None:
        values['tiles_overlap'] = round(100 * facts.overlap[0] / facts.window[0])
    if facts.ground_resolution is not None:  # in centimetres of a pixel that the graph sees
        shrunk = facts.window[0] / side if facts.window else 1
        values['resolution'] = 100 * facts.ground_resolution * shrunk
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def _tuples(value: Any) -> Any:
    """Return lists as tuples, those inside too."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _facts(data: Mapping[str, Any]) -> ModelFacts:
    known = {field.name for field in fields(ModelFacts)}
    semantic = data.get('semantic') and SemanticClasses(
        **{key: _tuples(value) for key, value in data['semantic'].items()})
    return ModelFacts(**{key: _tuples(value) for key, value in data.items() if key in known}
                      | dict(semantic=semantic))


def _preparation(data: Mapping[str, Any]) -> Preparation:
    resize = tuple((tuple(step['size']), step['keep_ratio']) for step in data['resize'])
    return Preparation(resize, tuple(data['mean']), tuple(data['std']), data['size_divisor'])


def _caption(data: Mapping[str, Any], where: str) -> CaptionRecord:
    rules = f'the decoding rules of {where}'
    return CaptionRecord(GreedyRules.from_dict(data['rules'], rules),
                         Detokenizer.from_dict(data['detokenizer'], f'the vocabulary of {where}'),
                         {name: GreedyRules.from_dict(other, f'{rules} ({name})')
                          for name, other in data.get('others', {}).items()})
