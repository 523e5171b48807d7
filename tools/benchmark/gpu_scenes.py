"""Scenes on a GPU: megapixels a second from files to files, by precision."""
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rscc.apis.scenes import scene_of
from rscc.inference.model_pass import ModelPass
from rscc.scenes.preparation import SceneOptions
from rscc.scenes.run import SceneRun
from rscc.scenes.torch_predictor import TorchPredictor
from tools.benchmark.budget import Budget, Outcome, Way, run_ways
from tools.benchmark.scene_inputs import DETECTORS, rendered_cells, save_detector, write_pair
from tools.benchmark.tables import Text
from tools.benchmark.timing import timed

COLUMNS: tuple[Text, ...] = (
    ('detector', '检测模型'), ('precision', '精度'), ('windows at once', '每次窗口数'),
    ('whole scene, s', '整景，秒'), ('whole scene, Mpixel/s', '整景，百万像素/秒'),
    ('answering, Mpixel/s', '推理，百万像素/秒'), ('combining, Mpixel/s', '合并，百万像素/秒'),
    ('rounds', '轮数'))
PRECISIONS = ('fp32', 'bf16')
_CELLS = 32
#: Seconds of answering and of combining, one entry a run.
_Parts = tuple[list[float], list[float]]


def scene_rows(budget: Budget, side: int, batch_size: int, device: str) -> list[list[Text]]:
    """Return a row for every detector and precision.

    Args:
        budget: For all rows.
        side: Of the scene in pixels.
        batch_size: Windows that are answered at once.
        device: ``'cpu'`` or ``'cuda[:i]'``.
    """
    with tempfile.TemporaryDirectory(prefix='rscc-scenes-') as name:
        folder, cells = Path(name), rendered_cells(_CELLS)
        pair = write_pair(folder, side, cells)
        checkpoints = {detector: save_detector(detector, folder / f'{detector}.pth', cells)
                       for detector in DETECTORS}
        spent: dict[tuple[str, str], _Parts] = {
            (detector, precision): ([], []) for detector in DETECTORS for precision in PRECISIONS}
        options = SceneOptions(batch_size=batch_size)
        found = run_ways(
            {key: Way(partial(_scene, checkpoints[key[0]], key[1] == 'bf16', device, pair,
                              folder / 'out', options, parts), 10.0)
             for key, parts in spent.items()}, budget, 1, device, 'scenes')
    return [_row(key, outcome, side, batch_size, spent[key]) for key, outcome in found.items()]


def _scene(checkpoint: Path, amp: bool, device: str, pair: tuple[Path, Path], out: Path,
           options: SceneOptions, parts: _Parts) -> Callable[[], None]:
    """Return a function that answers and combines a scene, and notes the seconds of both."""
    predictor = TorchPredictor(ModelPass.of(checkpoint, device=device, amp=amp))

    def run() -> None:
        scene = SceneRun([scene_of(*pair)], predictor, out, options)
        folder = scene.folder()
        for seconds, step in zip(parts, (scene.answer, scene.combine), strict=True):
            seconds.append(timed(partial(step, folder), device)[0])
        shutil.rmtree(out)

    return run


def _row(key: tuple[str, str], outcome: Outcome, side: int, batch_size: int, parts: _Parts
         ) -> list[Text]:
    def rate(seconds: Sequence[float]) -> str:
        return f'{side**2 / 1e6 / statistics.median(seconds):.2f}'

    detector, precision = key
    return [DETECTORS[detector], precision, str(batch_size), *outcome.cells(
        lambda timing: f'{timing.ms / 1e3:.1f}', lambda timing: rate(timing.rounds),
        *(lambda timing, part=part: rate(part[-len(timing.rounds):]) for part in parts)),
        outcome.rounds]


def scene_notes(side: int, device: str) -> list[Text]:
    """Return the notes below the table."""
    return [
        (f'A rendered scene of {side:,} x {side:,} pixels from GeoTIFFs to map, polygons and '
         'report; reading, blending and writing are work of the processor. Whole scene: with '
         'opening and checking both dates.',
         f'渲染影像，{side:,} x {side:,} 像素，从 GeoTIFF 到变化图、矢量与报告；'
         '读取、融合与写出由处理器完成。整景：含打开并检查两个时相。'),
        ('bf16: --amp of tools/infer.py'
         + (', which leaves alone processors without bfloat16.' if device == 'cpu' else '.'),
         'bf16：即 tools/infer.py 的 --amp'
         + ('，在没有 bfloat16 的处理器上不起作用。' if device == 'cpu' else '。'))]
