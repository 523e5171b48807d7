"""Scenes from Python: rasters of any size in, a map, polygons and sentences on their grid out."""
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rscc.scenes.contracts import OutputOptions, Predictor
from rscc.scenes.fingerprints import Given
from rscc.scenes.preparation import SceneOptions, ScenePair
from rscc.scenes.run import Done, run_scenes


def interpret_scene(model: Any, img_from: str | os.PathLike | Sequence[str | os.PathLike],
                    img_to: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
                    out: str | os.PathLike = 'out', *, checkpoint: str | os.PathLike | None = None,
                    device: str | None = None, amp: bool = False,
                    cfg_options: Mapping[str, Any] | None = None, window: int | None = None,
                    overlap: int | None = None, decoding: Mapping[str, Any] | None = None,
                    outputs: OutputOptions | None = None, part: tuple[int, int] | None = None,
                    combine: bool = False, overwrite: bool = False,
                    say: Callable[[str], object] = print, **options: Any) -> Done:
    """Answer a scene of any size and write ``change.tif``, ``changes.gpkg``, a report and more.

    The same as ``python tools/infer.py``, see docs/en/scenes.md; blocks that an earlier call has
    finished are not computed again.

    Example:
        >>> done = interpret_scene('rscc-small', 'before.tif', 'after.tif', 'out/',
        ...                        bands=(3, 2, 1), scale=(0, 3000))
        >>> done.summaries['before_after']['sentences']

    Args:
        model: A published model's name, checkpoint, work folder or config as
            :class:`rscc.apis.ChangeInferencer` takes them, the path of an exported ``.onnx`` file,
            or a ``Predictor``.
        img_from: Earlier date, or the only one: GeoTIFF, COG, VRT, a remote path as rasterio takes
            them, a picture; or a folder or list of tiles, which are one mosaic.
        img_to: Later date; it is laid on the grid of the earlier one where grids differ.
        out: Folder of the results, made if needed.
        checkpoint, device, amp, cfg_options, window, overlap: See
            :class:`rscc.apis.ChangeInferencer`.
        decoding: Options of the caption head, over the config's.
        outputs: Which files are written.
        part, combine, overwrite: See :func:`rscc.scenes.run.run_scenes`.
        say: Told what was done to the dates.
        **options: Further fields of :class:`rscc.scenes.preparation.SceneOptions`: ``bands``,
            ``scale``, ``area``, ``align``, ``force`` and others.

    Returns:
        What was done: the files, the content of ``summary.json``, the rate.

    Raises:
        FileNotFoundError: If a file is missing, or for ``combine`` a block.
        ImportError: If the packages of the extra ``geo`` are not installed.
        ValueError: If the pair check refuses, or files, model or options do not fit.
    """
    pair = scene_of(img_from, img_to)
    predictor = model if isinstance(model, Predictor) else predictor_of(
        model, checkpoint, device=device, amp=amp, cfg_options=cfg_options, window=window,
        overlap=overlap, decoding=decoding)
    return run_scenes([pair], predictor, out,
                      SceneOptions(outputs=outputs or OutputOptions(), **options), part, combine,
                      overwrite, say)


def predictor_of(model: Any, checkpoint: str | os.PathLike | None = None, **settings: Any
                 ) -> Predictor:
    """Load what answers scenes: an exported model without torch, anything else with it.

    Args:
        model, checkpoint: See :func:`interpret_scene`.
        **settings: Of :class:`rscc.scenes.torch_predictor.TorchPredictor.load`.
    """
    return factory_of(model, checkpoint, **settings)()


def factory_of(model: Any, checkpoint: str | os.PathLike | None = None, **settings: Any
               ) -> Callable[[], Predictor]:
    """Return a function that loads the predictor, which other processes can be given."""
    if checkpoint is None and str(model).lower().endswith('.onnx'):
        from rscc.deployment.onnx_predictor import OnnxPredictor
        return partial(OnnxPredictor, model, **_of_exported(settings))
    from rscc.scenes.torch_predictor import TorchPredictor
    return partial(TorchPredictor.load, model, checkpoint, **settings)


def _of_exported(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that exported models have.

    Raises:
        ValueError: If another one is given.
    """
    known = ('window', 'overlap', 'decoding')
    for name, value in settings.items():
        if name not in known and value and not (name == 'device' and value == 'cpu'):
            raise ValueError(f'{name}={value!r} is for checkpoints: an exported model computes on '
                             f'the CPU as it was exported, and takes {", ".join(known)}')
    return {name: settings[name] for name in known if name in settings}


def scene_of(img_from: str | os.PathLike | Sequence[str | os.PathLike],
             img_to: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
             name: str | None = None) -> ScenePair:
    """Return a scene, named by its files unless a name is given."""
    from rscc.visualization.picture_files import safe_name
    dates = [_given(date) for date in (img_from, img_to) if date is not None]
    stems = dict.fromkeys(Path(date[0] if isinstance(date, tuple) else date).stem
                          for date in dates)
    return ScenePair(safe_name(name or '_'.join(stems)), *dates)


def _given(date: str | os.PathLike | Sequence[str | os.PathLike]) -> Given:
    if isinstance(date, str | os.PathLike):
        return str(date)
    paths = tuple(map(str, date))
    return paths[0] if len(paths) == 1 else paths
