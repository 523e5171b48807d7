"""Benchmarks of a language model after a prefix: batched cached search, frozen weights."""
import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from rscc.models.batch_rows import select_rows
from rscc.structures import ChangeFeatures
from tools.benchmark.benchmarked_model import BenchmarkedModel, load_model
from tools.benchmark.counting import CallCount
from tools.benchmark.steps import Comparison, Steps, steps_in
from tools.benchmark.tables import Section, Target, Text
from tools.benchmark.timing import Timing, measure

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


def benchmark_language(config: str, *, batch_size: int = 16, rounds: int = 4, tokens: int = 40,
                       images: int = 4, **options: Any) -> Section:
    """Compare greedy search of a batch with that of one image after the other.

    What is written alone must be what the batch gets, id by id. Images are encoded before.

    Args:
        config: Path of a config with a ``PrefixGPTHead``.
        batch_size: Images a batch.
        rounds: Timed calls of each way.
        tokens: Length of every sentence.
        images: Images a round of the ways that take one after the other, the next ones each time;
            ``rounds * images`` that reach ``batch_size`` compare all sentences.
        **options: Of ``load_model``.

    Raises:
        ValueError: If the head has no language model, ``images`` is out of range, or ids differ.
    """
    if not 1 <= images <= batch_size:
        raise ValueError(f'--images {images} is the part of a batch of {batch_size} that is '
                         f'written one after the other; expected 1 to {batch_size}')
    model = _load_writer(config, **options)
    model.fix_sentence_length(tokens)
    search = _Search(model, batch_size)
    times = _search_times(search, images, rounds)
    compared = search.compare()
    return Comparison(model, batch_size, rounds).section(
        'language', ('Sentences of a language model', '语言模型的句子'),
        (('greedy search', '贪心搜索'), ('images in turn', '每轮影像数'),
         ('ms an image', '毫秒/幅'), ('captions a second', '每秒句数'), ('speed-up', '加速比')),
        [[_WAYS[way], str(batch_size if way == 'batched' else images), str(times[way]),
          f'{times[way].per_second:.2f}', _speedup(way, times)] for way in _WAYS],
        _size_note(model),
        (f'Mapper and search alone, sentences of {tokens} ids. The ways without a batch take the '
         f'next {images} images each round, as a whole batch would take minutes; the ids of all '
         f'{compared} images that they wrote are those of the batch (a difference ends the '
         'benchmark).',
         f'仅映射器与搜索，每句 {tokens} 个词元。逐幅方式每轮处理接下来的 {images} 幅影像'
         f'（整批耗时数分钟）；其写出的 {compared} 幅影像的词元与整批结果逐一相同'
         '（不同则终止）。'))


def _speedup(way: str, times: dict[str, Timing]) -> Text:
    speedup = times['plain'].over(times[way])
    return SPEEDUP.judge(speedup) if way == 'batched' else f'{speedup:.1f}'


def _search_times(search: '_Search', images: int, rounds: int) -> dict[str, Timing]:
    """Time every way; those that go image by image walk through the batch."""
    count = search.count
    turns = {way: itertools.count() for way in ('plain', 'cached')}

    def alone(way: str) -> None:
        first = next(turns[way]) * images
        for row in range(first, first + images):
            search.write(way, [row % count], use_cache=way == 'cached')

    calls = {way: partial(alone, way) for way in turns}
    calls['batched'] = partial(search.write, 'batched', range(count))
    calls['batched']()
    search.write('plain', [0], use_cache=False)
    # These two were the warm-up: a whole round more would cost a quarter of the time.
    return measure(calls, samples=lambda way: count if way == 'batched' else images,
                   rounds=rounds, warmup=0, device=search.model.device, title='language')


class _Search:
    """Writes sentences on encoded images and remembers their ids, way by way.

    Args:
        model: A captioner with a language model.
        count: Images, noise.
    """

    @torch.no_grad()
    def __init__(self, model: BenchmarkedModel, count: int) -> None:
        self.model, self.count = model, count
        self.head = model.network.eval().caption_head
        self.features: ChangeFeatures = model.features(model.batch(count))
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


def benchmark_frozen(config: str, *, batch_size: int = 16, rounds: int = 5, **options: Any
                     ) -> Section:
    """Compare a training step beside fixed language-model weights with one that trains them too.

    Steps are those of training on stored features: the images are encoded before. How often CLIP
    encodes an image with several captions is counted apart.

    Args:
        config: Path of a config with a ``PrefixGPTHead``.
        batch_size: Images a step, each with one caption.
        rounds: Timed steps of each.
        **options: Of ``load_model``.

    Raises:
        ValueError: If the head has no language model.
    """
    overrides = options.pop('cfg_options', None) or {}
    models = {tune: _load_writer(config, cfg_options={**overrides, _TUNE: tune}, **options)
              for tune in _ROWS}
    steps = {tune: _HeadStep(model, batch_size) for tune, model in models.items()}
    memory = {tune: step.steps.peak(step) for tune, step in steps.items()}
    test = Comparison(models['frozen'], batch_size, rounds)
    times = test.time(steps, 'frozen')
    share = times['frozen'].over(times['full'])
    rows = [[label, f'{models[tune].parameters[1] / 1e6:.1f}', str(times[tune]),
             FROZEN_SHARE.judge(share) if tune == 'frozen' else '1.00', memory[tune],
             ONE_ENCODE.judge(encodes_an_image(models[tune]))] for tune, label in _ROWS.items()]
    return test.section(
        'frozen', ('Training beside a frozen language model', '冻结语言模型的训练'),
        (('language model', '语言模型'), ('trained weights, million', '训练的权重，百万'),
         ('train step, ms an image', '训练一步，毫秒/幅'), ('share', '比例'),
         ('peak memory', '峰值内存'),
         (f'CLIP encodes of an image with {CAPTIONS} captions',
          f'含 {CAPTIONS} 个句子的影像的 CLIP 编码次数')), rows,
        _size_note(test.model),
        ('A step on stored features with one caption an image: mapper, language model, backward '
         'pass, update of what is trained. Encodes are counted in a step from pixels.',
         '基于已存特征的一步，每幅影像一个句子：映射器、语言模型、反向传播、更新所训练的权重。'
         '编码次数在从像素开始的一步中统计。'))


class _HeadStep:
    """A training step on features that are computed before."""

    @torch.no_grad()
    def __init__(self, model: BenchmarkedModel, batch_size: int) -> None:
        self.network = model.network
        self.steps: Steps = steps_in(model, ['fp32'])['fp32']
        batch = model.batch(batch_size)
        self.samples = batch['data_samples']
        self.network.eval()
        self.features = model.features(batch)
        self.network.train()

    def __call__(self) -> None:
        """Forward, backward, update."""
        losses = self.network.caption_head.loss(self.features, self.samples)
        self.steps.optim.update_params(self.network.parse_losses(losses)[0])


@torch.no_grad()
def encodes_an_image(model: BenchmarkedModel, images: int = 2) -> float:
    """Return how often an image with ``CAPTIONS`` captions goes through the encoder in a step."""
    network, count = model.network.train(), CallCount()
    data = network.data_preprocessor(model.batch(images, CAPTIONS), True)
    with count.watch(network.encoder):
        network(**data, mode='loss')
    return count.frames / (images * model.frames)


def _load_writer(config: str, **options: Any) -> BenchmarkedModel:
    return load_model(config, **options).require_head(
        'PrefixGPTHead', 'has no language model after a prefix')


def _size_note(model: BenchmarkedModel) -> Text:
    """Say how large the language model is."""
    head = model.network.caption_head
    writer = head.language_model
    layers = getattr(writer.model.config, 'num_hidden_layers', '?')
    return (f'{model.name}: language model of {layers} layers, {writer.width} wide, '
            f'{writer.vocab_size} ids, prefix {head.prefix_length}; fp32.',
            f'{model.name}：语言模型 {layers} 层，宽 {writer.width}，{writer.vocab_size} 个词元，'
            f'前缀 {head.prefix_length}；fp32。')
