"""Benchmarks of a language model after a prefix: batched cached search, fixed weights."""
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from rscc.models.interpreter import select_rows
from rscc.structures import ChangeFeatures
from tools.benchmark.benchmarked_model import Subject, load_subject
from tools.benchmark.counting import EncodeCount
from tools.benchmark.machine import describe_machine
from tools.benchmark.steps import Steps, check_device, steps_in, synchronizer, time_in_turn
from tools.benchmark.tables import Section, Target, Text, how_measured
from tools.benchmark.timing import Case, Timing, measure

SPEEDUP = Target(8, at_least=True, digits=1)
FROZEN_SHARE = Target(0.55)
ONE_ENCODE = Target(1, digits=0)
#: Captions of an image in the datasets that CLIP-GPT was published on.
CAPTIONS = 5
_TUNE = 'model.caption_head.language_model.tune'
_WAYS: dict[str, Text] = {
    'plain': ('one image after the other, no cache', '逐幅影像，无缓存'),
    'cached': ('one image after the other, cache', '逐幅影像，有缓存'),
    'batched': ('one batch, cache', '整批，有缓存')}
_ROWS: dict[str, Text] = {'full': ('trained too', '一同训练'), 'frozen': ('frozen', '冻结')}


def study_language(config: str, *, batch_size: int = 16, rounds: int = 4, device: str = 'cpu',
                   tokens: int = 40, images: int = 4, **options: Any) -> Section:
    """Compare greedy search of a batch with that of one image after the other.

    What is written alone must be what the batch gets, id by id. Images are encoded before.

    Args:
        config: Path of a config with a ``PrefixGPTHead``.
        batch_size: Images a batch.
        rounds: Timed calls of each way.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        tokens: Length of every sentence.
        images: Images a round of the ways that take one after the other, the next ones each time;
            ``rounds * images`` that reach ``batch_size`` compare all sentences.
        **options: Of ``load_subject``.

    Raises:
        ValueError: If the head has no language model, ``images`` is out of range, or ids differ.
    """
    check_device(device)
    if not 1 <= images <= batch_size:
        raise ValueError(f'--images {images} is the part of a batch of {batch_size} that is '
                         f'written one after the other; expected 1 to {batch_size}')
    subject = _with_language_model(load_subject(config, device=device, **options))
    subject.fix_sentence_length(tokens)
    search = _Search(subject, batch_size)
    times = _search_times(search, images, rounds)
    compared = search.compare()
    return Section(
        'language', ('Sentences of a language model', '语言模型的句子'),
        (('greedy search', '贪心搜索'), ('images in turn', '每轮影像数'),
         ('ms an image', '毫秒/幅'), ('captions a second', '每秒句数'), ('speed-up', '加速比')),
        [[_WAYS[way], str(batch_size if way == 'batched' else images), str(times[way]),
          f'{times[way].per_second:.2f}', _speedup(way, times)] for way in _WAYS],
        describe_machine(device),
        notes=[_what(subject), how_measured(subject.size[0], batch_size, rounds),
               (f'Mapper and search alone, sentences of {tokens} ids. The ways without a batch '
                f'take the next {images} images each round, as a whole batch would take minutes; '
                f'the ids of all {compared} images that they wrote are those of the batch (a '
                'difference ends the study).',
                f'仅映射器与搜索，每句 {tokens} 个词元。逐幅方式每轮处理接下来的 {images} 幅影像'
                f'（整批耗时数分钟）；其写出的 {compared} 幅影像的词元与整批结果逐一相同'
                '（不同则研究终止）。')])


def _speedup(way: str, times: dict[str, Timing]) -> Text:
    speedup = times['plain'].over(times[way])
    return SPEEDUP.judge(speedup) if way == 'batched' else f'{speedup:.1f}'


def _search_times(search: '_Search', images: int, rounds: int) -> dict[str, Timing]:
    """Time every way; those that go image by image walk through the batch."""
    count, device = search.count, search.subject.device
    turns = {way: itertools.count() for way in ('plain', 'cached')}

    def alone(way: str) -> None:
        first = next(turns[way]) * images
        for row in range(first, first + images):
            search.write(way, [row % count], use_cache=way == 'cached')

    cases = [Case('plain', lambda: alone('plain'), images),
             Case('cached', lambda: alone('cached'), images),
             Case('batched', lambda: search.write('batched', range(count)), count)]
    search.write('batched', range(count))
    search.write('plain', [0], use_cache=False)
    # These two were the warm-up: a whole round more would cost a quarter of the study.
    return measure(cases, rounds, warmup=0, synchronize=synchronizer(device), title='language')


class _Search:
    """Writes sentences on encoded images and remembers their ids, way by way.

    Args:
        subject: A captioner with a language model.
        count: Images, noise.
    """

    @torch.no_grad()
    def __init__(self, subject: Subject, count: int) -> None:
        self.subject, self.count = subject, count
        self.head = subject.model.eval().caption_head
        self.features: ChangeFeatures = _features(subject, subject.batch(count))
        self.ids: dict[str, dict[int, list[int]]] = {}

    def write(self, way: str, rows: Sequence[int], **options: Any) -> None:
        """Write the sentences of these images together."""
        tokenizer, written = self.head.tokenizer, []
        decode = tokenizer.decode
        tokenizer.decode = lambda ids: written.append(list(ids)) or decode(ids)
        try:
            self.head.generate(select_rows(self.features, list(rows), self.count), **options)
        finally:
            del tokenizer.decode  # the class's own again
        self.ids.setdefault(way, {}).update(zip(rows, written, strict=True))

    def compare(self) -> int:
        """Return how many images were written alone, each with the ids that the batch got.

        Raises:
            ValueError: If ids differ.
        """
        batched = self.ids['batched']
        for way in ('plain', 'cached'):
            for row, ids in self.ids[way].items():
                if ids != batched[row]:
                    raise ValueError(f"the search '{_WAYS[way][0]}' writes other ids than the "
                                     f'batch for image {row}: {ids}, batch {batched[row]}')
        return len(self.ids['plain'])


def study_frozen(config: str, *, batch_size: int = 16, rounds: int = 5, device: str = 'cpu',
                 **options: Any) -> Section:
    """Compare a training step beside fixed language-model weights with one that trains them too.

    Steps are those of training on stored features: the images are encoded before. How often CLIP
    encodes an image with several captions is counted apart.

    Args:
        config: Path of a config with a ``PrefixGPTHead``.
        batch_size: Images a step, each with one caption.
        rounds: Timed steps of each.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        **options: Of ``load_subject``.

    Raises:
        ValueError: If the head has no language model.
    """
    check_device(device)
    overrides = options.pop('cfg_options', None) or {}
    load = {tune: _with_language_model(load_subject(
        config, device=device, cfg_options={**overrides, _TUNE: tune}, **options))
        for tune in _ROWS}
    steps = {tune: _HeadStep(subject, batch_size) for tune, subject in load.items()}
    memory = {tune: step.steps.peak(step) for tune, step in steps.items()}
    times = time_in_turn(steps, amount=batch_size, rounds=rounds, device=device, title='frozen')
    share = times['frozen'].over(times['full'])
    rows = [[label, f'{load[tune].parameters[1] / 1e6:.1f}', str(times[tune]),
             FROZEN_SHARE.judge(share) if tune == 'frozen' else '1.00', memory[tune],
             ONE_ENCODE.judge(encodes_an_image(load[tune]))] for tune, label in _ROWS.items()]
    return Section(
        'frozen', ('Training beside a frozen language model', '冻结语言模型的训练'),
        (('language model', '语言模型'), ('trained weights, million', '训练的权重，百万'),
         ('train step, ms an image', '训练一步，毫秒/幅'), ('share', '比例'),
         ('peak memory', '峰值内存'),
         (f'CLIP encodes of an image with {CAPTIONS} captions',
          f'含 {CAPTIONS} 个句子的影像的 CLIP 编码次数')),
        rows, describe_machine(device),
        notes=[_what(load['frozen']), how_measured(load['frozen'].size[0], batch_size, rounds),
               ('A step on stored features with one caption an image: mapper, language model, '
                'backward pass, update of what is trained. Encodes are counted in a step from '
                'pixels.',
                '基于已存特征的一步，每幅影像一个句子：映射器、语言模型、反向传播、更新所训练的权重。'
                '编码次数在从像素开始的一步中统计。')])


class _HeadStep:
    """A training step on features that are there already."""

    @torch.no_grad()
    def __init__(self, subject: Subject, batch_size: int) -> None:
        self.model: nn.Module = subject.model
        self.steps: Steps = steps_in(subject, ['fp32'])['fp32']
        batch = subject.batch(batch_size)
        self.samples = batch['data_samples']
        self.model.eval()
        self.features = _features(subject, batch)
        self.model.train()

    def __call__(self) -> None:
        """Forward, backward, update."""
        losses = self.model.caption_head.loss(self.features, self.samples)
        self.steps.optim.update_params(self.model.parse_losses(losses)[0])


@torch.no_grad()
def encodes_an_image(subject: Subject, images: int = 2) -> float:
    """Return how often an image with ``CAPTIONS`` captions goes through the encoder in a step."""
    model, count = subject.model.train(), EncodeCount()
    data = model.data_preprocessor(subject.batch(images, CAPTIONS), True)
    with count.watch(model.encoder):
        model(**data, mode='loss')
    return count.frames / (images * subject.dates)


def _features(subject: Subject, batch: dict) -> ChangeFeatures:
    return subject.model.extract(subject.model.data_preprocessor(batch, False)['inputs'])


def _with_language_model(subject: Subject) -> Subject:
    """Return the subject.

    Raises:
        ValueError: If its caption head has no language model.
    """
    head = getattr(subject.model, 'caption_head', None)
    if getattr(head, 'language_model', None) is None:
        raise ValueError(f"'{subject.name}' has no language model after a prefix (its caption head "
                         f'is {type(head).__name__}): take a config with PrefixGPTHead')
    return subject


def _what(subject: Subject) -> Text:
    """Say how large the language model is."""
    head = subject.model.caption_head
    model = head.language_model
    layers = getattr(model.model.config, 'num_hidden_layers', '?')
    return (f'{subject.name}: language model of {layers} layers, {model.width} wide, '
            f'{model.vocab_size} ids, prefix {head.prefix_length}; fp32.',
            f'{subject.name}：语言模型 {layers} 层，宽 {model.width}，{model.vocab_size} 个词元，'
            f'前缀 {head.prefix_length}；fp32。')
