"""Benchmark against the packages that do the same: transformers, pycocoevalcap, OpenCV, timm.

Both sides get the same weights and the same input, and take turns in one process. Before they are
timed, their answers are compared: a benchmark of two different things would say nothing.
"""
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from rscc.evaluation.functional.captioning import CaptionCorpus
from rscc.evaluation.records import coco_words
from rscc.rasters.image_files import read_rgb
from rscc.utils import check_choice, progress
from rscc.utils.imports import require
from tools.benchmark.benchmarked_model import BenchmarkedModel, load_model
from tools.benchmark.machine import describe_machine
from tools.benchmark.metric import made_up_samples
from tools.benchmark.tables import Section, Text
from tools.benchmark.timm_models import calls_of

BLIP, CLIPGPT = 'configs/blip_levircc.py', 'configs/clipgpt_mlp_ucm.py'
#: Side of the pictures that are read, and how many of them a round reads.
SIDE, PICTURES = 256, 50


@dataclass(frozen=True)
class Peer:
    """The same work done by rscc and by a package.

    Attributes:
        work: What is done.
        package: Who else does it.
        ours, theirs: Both ways; each returns its answer.
        same: Whether two answers are the same.
    """
    work: Text
    package: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    same: Callable[[Any, Any], bool]


def benchmark_peers(names: Sequence[str] = (), *, rounds: int = 7, tokens: int = 12,
                    batch_size: int = 4, pairs: int = 1929, model: str = 'tf_efficientnet_lite0',
                    **options: Any) -> Section:
    """Time the same work of rscc and of its peers in turn.

    Args:
        names: Of ``PEERS``; none for all.
        rounds: Timed calls of each side, after one that does not count.
        tokens: Length of sentences.
        batch_size: Pairs or images of a batch; a language model after a prefix gets four times as
            many.
        pairs: Captions that are scored.
        model: Of timm.
        **options: Of ``load_model``, for the captioners (random weights).

    Raises:
        ValueError: If a name is unknown, or the two sides answer differently.
    """
    for name in names:
        check_choice('peer', name, PEERS)
    given = dict(tokens=tokens, batch_size=batch_size, pairs=pairs, model=model, options=options)
    rows = []
    with ExitStack() as stack:
        for name in names or PEERS:
            for peer in PEERS[name](stack=stack, **given):
                rows.append(_row(peer, rounds))
    return Section('peers', ('Beside the packages that do the same', '与完成同样工作的软件包相比'),
                   (('work', '工作'), ('package', '软件包'), ('package, ms', '软件包，毫秒'),
                    ('rscc, ms', 'rscc，毫秒'), ('CPU time, ratio', 'CPU 时间之比'),
                    ('wall time, ratio', '墙钟时间之比')),
                   rows, describe_machine(), notes=[_note(rounds)])


def _note(rounds: int) -> Text:
    return (f'{rounds} rounds, both sides in turn; times are medians of wall time; ratios are rscc '
            'over the package, median of the rounds (lower to upper quartile), below 1 where rscc '
            'is faster. Same weights and input; answers are compared first, and a difference ends '
            'the benchmark.',
            f'{rounds} 轮，双方轮流运行；时间为墙钟时间的中位数；比值为 rscc 除以软件包，'
            '取各轮中位数（下、上四分位数），小于 1 表示 rscc 更快。权重与输入相同；'
            '先比较结果，不同则终止。')


def _row(peer: Peer, rounds: int) -> list[Text]:
    found = {'ours': peer.ours(), 'theirs': peer.theirs()}  # the warm-up, too
    if not peer.same(found['ours'], found['theirs']):
        raise ValueError(f'rscc and {peer.package} answer differently: {peer.work[0]}')
    spent: dict[str, list[tuple[float, float]]] = {side: [] for side in found}
    for _ in progress(range(rounds), peer.work[0], unit='round'):
        for side, call in (('theirs', peer.theirs), ('ours', peer.ours)):
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            spent[side].append((time.perf_counter() - wall, time.process_time() - cpu))
    milliseconds = {side: 1e3 * statistics.median(wall for wall, _ in times)
                    for side, times in spent.items()}
    return [peer.work, peer.package, *(f'{milliseconds[side]:.1f}' for side in ('theirs', 'ours')),
            *(_ratio([(one[part], other[part]) for one, other in zip(
                spent['ours'], spent['theirs'], strict=True)]) for part in (1, 0))]


def _ratio(rounds: Iterable[tuple[float, float]]) -> str:
    """Return the median and the quartiles of ratios."""
    low, middle, high = np.percentile([one / max(other, 1e-9) for one, other in rounds],
                                      (25, 50, 75))
    return f'{middle:.2f} ({low:.2f}–{high:.2f})'


def blip_peers(tokens: int, batch_size: int, options: Mapping[str, Any], beams: int = 3, **_: Any
               ) -> Iterable[Peer]:
    """Beam search of BLIP's decoder on encoded pairs, one and a batch."""
    model = load_model(BLIP, **{'random_weights': True, **options})
    model.fix_sentence_length(tokens)
    model.network.eval()
    for count in dict.fromkeys((1, batch_size)):
        features = model.features(model.batch(count))
        yield Peer((f'BLIP-base, beam {beams}, {tokens} tokens, {count} pairs',
                    f'BLIP-base，束宽 {beams}，{tokens} 个词元，{count} 对'), 'transformers',
                   partial(_best_sentences, model, features, beams),
                   partial(_blip_theirs, model, features, beams, tokens), _equal)


@contextmanager
def _plain_products() -> Iterator[None]:
    """Have the decoder of both sides compute as the package does, without ``prepack_linear``."""
    before, torch.backends.mkldnn.enabled = torch.backends.mkldnn.enabled, False
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def _best_sentences(model: BenchmarkedModel, features: Any, beams: int) -> list[str]:
    with torch.inference_mode():
        return [captions[0].text for captions in model.network.caption_head.generate(
            features, num_beams=beams)]


def _blip_theirs(model: BenchmarkedModel, features: Any, beams: int, tokens: int) -> list[str]:
    head, memory = model.network.caption_head, features.tokens
    given = torch.tensor([head.given_ids] * len(memory))
    with torch.inference_mode(), _plain_products():
        ids = head.decoder.generate(
            input_ids=given, encoder_hidden_states=memory,
            encoder_attention_mask=torch.ones(memory.shape[:2], dtype=torch.long),
            num_beams=beams, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens,
            eos_token_id=head.tokenizer.eos_id, pad_token_id=head.tokenizer.pad_id)
    return [head.tokenizer.decode(row[len(head.given_ids):]) for row in ids.tolist()]


def prefix_peers(tokens: int, batch_size: int, options: Mapping[str, Any], **_: Any
                 ) -> Iterable[Peer]:
    """Greedy search of GPT-2 after the prefix of an image, a batch of images."""
    model = load_model(CLIPGPT, **{'random_weights': True, **options})
    model.fix_sentence_length(tokens)
    model.network.eval()
    count = 4 * batch_size
    features = model.features(model.batch(count))
    yield Peer((f'GPT-2 after a prefix, greedy, {tokens} tokens, {count} images',
                f'GPT-2 前缀描述，贪心，{tokens} 个词元，{count} 幅影像'), 'transformers',
               partial(_best_sentences, model, features, 1),
               partial(_prefix_theirs, model, features, tokens), _equal)


def _prefix_theirs(model: BenchmarkedModel, features: Any, tokens: int) -> list[str]:
    head = model.network.caption_head
    writer = head.language_model.model
    with torch.inference_mode(), _plain_products():
        prefix = head.prefix(features)
        ids = writer.generate(
            inputs_embeds=prefix, attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long),
            do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens,
            suppress_tokens=list(head.banned_ids) or None, eos_token_id=list(head.stop_ids),
            pad_token_id=head.tokenizer.pad_id)
    return [head.tokenizer.decode(row) for row in ids.tolist()]


def score_peers(pairs: int, **_: Any) -> Iterable[Peer]:
    """BLEU, ROUGE-L and CIDEr of the whole set, the changed and the unchanged pairs."""
    samples = made_up_samples(pairs)
    said = [coco_words('en')(sample['pred_caption']) for sample in samples]
    known = [[coco_words('en')(text) for text in sample['gt_captions']] for sample in samples]
    flags = [sample['gt_change_flag'] for sample in samples]
    parts = [range(len(flags)), *([row for row, flag in enumerate(flags) if flag == wish]
                                  for wish in (True, False))]
    yield Peer((f'BLEU, ROUGE-L, CIDEr of {pairs:,} captions, three sets',
                f'{pairs:,} 条描述的 BLEU、ROUGE-L、CIDEr，三个集合'), 'pycocoevalcap',
               partial(_scores_ours, said, known, parts),
               partial(_scores_theirs, said, known, parts),
               lambda one, other: bool(np.allclose(one, other, rtol=1e-9, atol=1e-9)))


def _scores_ours(said: Sequence, known: Sequence, parts: Sequence[Sequence[int]]
                 ) -> list[list[float]]:
    corpus = CaptionCorpus(known)
    found = [corpus.score(said, part)[0] for part in parts]
    return [[scores[name] / 100 for name in ('Bleu_4', 'ROUGE_L', 'CIDEr')] for scores in found]


def _scores_theirs(said: Sequence, known: Sequence, parts: Sequence[Sequence[int]]
                   ) -> list[list[float]]:
    scorers = [require(f'pycocoevalcap.{name.lower()}.{name.lower()}', name).__dict__[name]
               for name in ('Bleu', 'Rouge', 'Cider')]  # codespell:ignore rouge
    found = []
    for part in parts:
        references = {row: [' '.join(words) for words in known[row]] for row in part}
        sentences = {row: [' '.join(said[row])] for row in part}
        bleu, rest = (scorers[0](4).compute_score(references, sentences, verbose=0)[0],
                      [scorer().compute_score(references, sentences)[0] for scorer in scorers[1:]])
        found.append([bleu[3], *map(float, rest)])
    return found


def image_peers(stack: ExitStack, **_: Any) -> Iterable[Peer]:
    """Pictures from files to RGB arrays."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='rscc-peers-')))
    draw, paths = np.random.default_rng(0), []
    for number in range(PICTURES):
        coarse = draw.integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8)
        paths.append(str(folder / f'{number}.png'))
        cv2.imwrite(paths[-1], cv2.resize(coarse, (SIDE, SIDE)))
    yield Peer((f'{PICTURES} PNG pictures of {SIDE} x {SIDE} to RGB',
                f'{PICTURES} 幅 {SIDE} x {SIDE} 的 PNG 读为 RGB'), 'OpenCV',
               lambda: [read_rgb(path) for path in paths],
               lambda: [cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB) for path in paths],
               lambda one, other: all(map(np.array_equal, one, other)))


def encoder_peers(model: str, **_: Any) -> Iterable[Peer]:
    """An encoder of timm within rscc and alone."""
    calls = calls_of(model, 224, 2, 'cpu')
    yield Peer((f'{model}, 2 pairs of 224 x 224', f'{model}，2 对 224 x 224'), 'timm',
               calls['encoder'], calls['bare'], _same_maps)


def _same_maps(ours: Any, theirs: Any) -> bool:
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    return all(torch.allclose(one.flatten(0, 1), other, rtol=1e-3, atol=1e-4)
               for one, other in zip(ours.maps, theirs, strict=True))


def _equal(one: Any, other: Any) -> bool:
    return one == other


#: Name of a peer -> function that gives its work.
PEERS: dict[str, Callable[..., Iterable[Peer]]] = {
    'blip': blip_peers, 'prefix': prefix_peers, 'scores': score_peers, 'images': image_peers,
    'encoder': encoder_peers}
