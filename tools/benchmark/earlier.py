"""Benchmark against an earlier version of rscc: two folders, the same work, old and new in turn.

The originals are not at hand, so what was measured beside them once stays as it was recorded, with
its date and machine, and later versions are measured against the version of that day.
"""
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rscc.utils import check_choice, progress
from rscc.utils.logging import warn_once
from tools.benchmark.machine import describe_machine
from tools.benchmark.steps import choose_precisions
from tools.benchmark.tables import Section, Text

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name('earlier_worker.py')
#: When and where the originals were measured, and beside which version.
COMMIT, DATE, MACHINE = '3528c9e', '2026-11-21', 'Intel, AMX-bf16'


@dataclass(frozen=True)
class Work:
    """A piece of work, and what was recorded of it.

    Attributes:
        title: What is done.
        config: Its config; None for scores of sentences.
        count: Pairs, images or captions at once.
        ratios: Recorded by precision, ``'fp32'`` or ``'bf16'``: CPU time of rscc over that of the
            original, which computes in float32, and what this ratio is to become.
        tokens: Length of every sentence; None where the model decides.
        options: Over the config's.
        training: A training step in place of an answer.
        new_names: Every pair comes with class names that were not seen before.
    """
    title: Text
    config: str | None
    count: int
    ratios: Mapping[str, tuple[float, float]]
    tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    training: bool = False
    new_names: bool = False

    def needed(self, precision: str) -> float:
        """Return how many times as fast as the recorded version this one must be for the goal."""
        recorded, goal = self.ratios[precision]
        return recorded / goal


_BEAMS = {'model.caption_head.decoding.num_beams': 3}
_RN50, _VIT = 'configs/changeclip_rn50_levircd.py', 'configs/changeclip_vit_levircd.py'
_BLIP = 'configs/blip_levircc.py'
WORKS = {
    'rn50': Work(('ChangeCLIP RN50, a pair', 'ChangeCLIP RN50，一对'), _RN50, 1,
                 {'fp32': (0.60, 0.5), 'bf16': (0.31, 0.25)}),
    'rn50_new': Work(('ChangeCLIP RN50, a pair, new names', 'ChangeCLIP RN50，一对，新类别名'),
                     _RN50, 1, {'fp32': (0.71, 0.5), 'bf16': (1.10, 0.25)}, new_names=True),
    'vit': Work(('ChangeCLIP ViT-B/16, a pair', 'ChangeCLIP ViT-B/16，一对'), _VIT, 1,
                {'fp32': (0.71, 0.5), 'bf16': (0.32, 0.25)}),
    'vit_new': Work(
        ('ChangeCLIP ViT-B/16, a pair, new names', 'ChangeCLIP ViT-B/16，一对，新类别名'),
        _VIT, 1, {'fp32': (0.77, 0.5), 'bf16': (0.79, 0.25)}, new_names=True),
    'rn50_training': Work(
        ('ChangeCLIP RN50, training step of 4 pairs', 'ChangeCLIP RN50，4 对的训练步'), _RN50, 4,
        {'fp32': (0.71, 0.6), 'bf16': (0.74, 0.45)}, training=True),
    'blip': Work(('BLIP-base, beam 3, a pair', 'BLIP-base，束宽 3，一对'), _BLIP, 1,
                 {'fp32': (0.92, 0.5), 'bf16': (0.95, 0.3)}, 12, _BEAMS),
    'blip_batch': Work(('BLIP-base, beam 3, 4 pairs', 'BLIP-base，束宽 3，4 对'), _BLIP, 4,
                       {'fp32': (0.83, 0.5), 'bf16': (0.50, 0.3)}, 12, _BEAMS),
    'kdrscc': Work(('KD-RSCC, 50 steps, a pair', 'KD-RSCC，50 步，一对'),
                   'configs/kdrscc_levircc.py', 1, {'fp32': (0.68, 0.45), 'bf16': (0.50, 0.2)},
                   options={'model.caption_head.decoding.steps': 50}),
    'gpt2': Work(('GPT-2 after a prefix, 16 images', 'GPT-2 前缀描述，16 幅影像'),
                 'configs/clipgpt_mlp_ucm.py', 16,
                 {'fp32': (0.065, 0.04), 'bf16': (0.059, 0.04)}, 12),
    'scores': Work(('1,929 captions scored, METEOR too', '1,929 条描述评分，含 METEOR'),
                   None, 1929, {'fp32': (0.61, 0.5)}),
}


def benchmark_earlier(folder: str | os.PathLike, names: Sequence[str] = (), *, rounds: int = 3,
                      precisions: Sequence[str] | None = None) -> Section:
    """Measure this version against an earlier one.

    Args:
        folder: Where the earlier version is checked out, by ``git worktree add`` for instance.
        names: Some of ``WORKS``; all by default.
        rounds: Timed calls of each version, in turn, after one that does not count.
        precisions: Of ``'fp32'`` and ``'bf16'`` (what ``--amp`` computes in on CPUs); by default
            float32 and, where the processor has it, bfloat16.

    Raises:
        FileNotFoundError: If there is no rscc in the folder.
        ValueError: If a name or a precision is unknown, or a version fails.
    """
    before = Path(folder).resolve()
    if not (before / 'rscc/__init__.py').is_file():
        raise FileNotFoundError(f"no rscc in '{before}': check an earlier version out there, "
                                f'git worktree add {folder} {COMMIT}')
    for name in names:
        check_choice('work', name, WORKS)
    if rounds < 1:
        raise ValueError(f'rounds={rounds}; expected 1 or more')
    chosen = sorted(choose_precisions(precisions, 'cpu'), reverse=True)  # fp32, then bf16
    rows = [row for name in names or WORKS for row in _rows(WORKS[name], chosen, before, rounds)]
    return Section(
        'earlier', ('Beside the originals, and since then', '与原系统相比，以及此后的变化'),
        (('work', '工作'), ('precision', '精度'), ('times as fast', '加速比'), ('needed', '需要'),
         ('CPU ms', 'CPU 毫秒'), ('of the original', '与原系统之比'), ('goal', '目标'),
         ('answers', '结果')),
        rows, describe_machine(), notes=[_recorded(), _note(rounds, _commit(before))])


def _commit(folder: Path) -> str:
    """Return the commit that a folder holds, '?' where git does not know."""
    done = subprocess.run(['git', '-C', str(folder), 'rev-parse', '--short=7', 'HEAD'],
                          capture_output=True, text=True, check=False)
    found = done.stdout.strip() or '?'
    if found != COMMIT:
        warn_once(f"'{folder}' holds commit {found}, and what is needed for a goal counts from "
                  f'{COMMIT}, which was measured beside the originals')
    return found


def _recorded() -> Text:
    return (f'Of the original: CPU time over that of the original code on the same input, which '
            f'computes in float32; bf16 is `--amp`. First as recorded of commit {COMMIT} '
            f'({MACHINE}, {DATE}; the originals are not measured by this command), then of this '
            'version, by estimate: on this machine the original would take the time of the earlier '
            'version in float32 divided by the ratio that was recorded for it. "Needed" is counted '
            'from the recorded ratio of the row instead, so that the two may differ. Class names '
            'of ChangeCLIP were seen before, unless the row says new names; GPT-2 beside the '
            'original that captions one image after the other.',
            '“与原系统之比”为与原代码（以 float32 计算）在同一输入上的 CPU 时间之比；'
            'bf16 即 `--amp`。'
            f'前者为提交 {COMMIT} 的当时记录（{MACHINE}，{DATE}；本命令不测量原代码），'
            '后者为当前版本的估计值：原系统在本机上的用时按早期版本 float32 的用时除以当时记录的'
            '比值估计。“需要”则按该行自身的记录计算，因此两者可能不一致。'
            'ChangeCLIP 的类别名均已见过，标明“新类别名”的行除外；'
            'GPT-2 的对照为逐幅生成描述的原代码。')


def _note(rounds: int, commit: str) -> Text:
    return (f'Before (commit {commit}) and now: two processes in turn, {rounds} rounds, random '
            'weights, answers as `infer.py` of each version gives them; CPU ms: medians, before → '
            'now. Times as fast: median of the ratios (lowest to highest); needed: what the goal '
            'takes, if a gain on this machine is one on that machine too.',
            f'“此前”（提交 {commit}）与“现在”：两个进程轮流运行 {rounds} 轮，随机权重，'
            '推理方式与各版本的 `infer.py` 相同；CPU 毫秒为中位数，此前 → 现在；'
            '“加速比”为各轮比值的中位数（最低至最高）；'
            '“需要”为达到目标所需的倍数（假定本机上的提升在当时的机器上同样成立）。')


def _rows(work: Work, precisions: Sequence[str], before: Path, rounds: int) -> list[list[Text]]:
    """Return a row of each precision in which the work was recorded."""
    rows, original = [], None
    for precision in precisions:
        if precision in work.ratios:
            times, answers = _measure(work, precision, before, rounds)
            if precision == 'fp32':
                original = statistics.median(old for old, _ in times) / work.ratios['fp32'][0]
            rows.append(_row(work, precision, times, original, answers))
    return rows


def _measure(work: Work, precision: str, before: Path, rounds: int
             ) -> tuple[list[tuple[float, float]], tuple[Any, Any]]:
    """Return CPU seconds of both versions, round by round, and what they answer."""
    with ExitStack() as stack:
        old, new = (stack.enter_context(_Version(folder, work, precision, stack.enter_context(
            tempfile.TemporaryFile('w+')))) for folder in (before, ROOT))
        answers = old.read(), new.read()  # both have begun to build
        times = [(old.call(), new.call())
                 for _ in progress(range(rounds), f'{work.title[0]}, {precision}', unit='round')]
    return times, answers


def _row(work: Work, precision: str, times: Sequence[tuple[float, float]],
         original: float | None, answers: tuple[Any, Any]) -> list[Text]:
    """Return a row of the table; ``original`` is the original's CPU seconds, if they are known."""
    gains = sorted(one / max(other, 1e-9) for one, other in times)
    gain = statistics.median(gains)
    needed = work.needed(precision)
    met = ('met', '达到') if gain >= needed else ('missed', '未达到')
    before, now = map(statistics.median, zip(*times, strict=True))
    recorded, goal = work.ratios[precision]
    share = f'{recorded:g}' if original is None else f'{recorded:g} → {now / original:.2g}'
    return [work.title, precision, f'{gain:.2f} ({gains[0]:.2f}–{gains[-1]:.2f})',
            (f'{needed:.2f}: {met[0]}', f'{needed:.2f}：{met[1]}'),
            f'{1e3 * before:.0f} → {1e3 * now:.0f}', share, f'{goal:g}',
            _compared(work, *answers)]


def _compared(work: Work, before: Any, now: Any) -> Text:
    """Return whether both versions answered the same or, if not, what share of it differs."""
    if work.training:
        return '-'
    if before == now:
        return 'the same', '相同'
    if work.config in (_RN50, _VIT):
        # Maps as hexadecimal digits: pixels of which one version says that they changed.
        differing = sum((int(one, 16) ^ int(other, 16)).bit_count()
                        for one, other in zip(before, now, strict=True))
        share = differing / (4 * sum(map(len, now)))
        return f'{share:.2%} of pixels differ', f'{share:.2%} 的像素不同'
    differing = sum(one != other for one, other in zip(before, now, strict=True))
    return f'{differing} of {len(now)} differ', f'{len(now)} 项中 {differing} 项不同'


class _Version:
    """A process that does one piece of work with the rscc of a folder.

    Args:
        folder: The folder.
        work: The work.
        precision: In which it computes.
        errors: Gets what the process says.
    """

    def __init__(self, folder: Path, work: Work, precision: str, errors: IO[str]) -> None:
        self.folder, self.errors = folder, errors
        self.process = subprocess.Popen(
            [sys.executable, '-c', WORKER.read_text(encoding='utf-8'),
             json.dumps(dataclasses.asdict(work) | dict(precision=precision))],
            cwd=folder, env={**os.environ, 'PYTHONPATH': str(folder)}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def __enter__(self) -> '_Version':
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self.process.communicate()

    def call(self) -> float:
        """Do the work once more; return the CPU seconds that it took."""
        with suppress(BrokenPipeError):  # it has ended, and reading tells why
            self.process.stdin.write('again\n')
            self.process.stdin.flush()
        return self.read()

    def read(self) -> Any:
        """Wait for what it says next: what it answers, then the seconds of each call.

        Raises:
            ValueError: If it has ended.
        """
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            said = self.errors.read().strip().splitlines() or ['no message']
            raise ValueError(f"the version in '{self.folder}' failed: {said[-1]}")
        return json.loads(line)
