"""The scene path of the inference command: rasters of any size in, maps with sentences out."""
import argparse
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rscc.utils import counted
from rscc.utils.terminal import padded

#: Exit code of a run that finished although some places could not be read.
GAPS = 3
#: Flags that only scenes know: any of them takes the scene path.
_OWN = ('scenes', 'part', 'combine', 'overwrite', 'dry_run', 'aoi', 'assume_same_grid', 'align',
        'match_histogram', 'force', 'probability', 'geoparquet', 'min_area', 'simplify', 'onnx',
        'engine', 'workers', 'block_size', 'summary_language')
#: Flags that draw or list what belongs to a single picture.
_PICTURES = ('attention', 'trajectory', 'per_window', 'nbest', 'pairs')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what scenes are told besides model, images and reading."""
    group = parser.add_argument_group(
        'scenes', 'georeferenced images, and those larger than a window: with --out they become '
        'change.tif, changes.gpkg, summary.json and report.html')
    group.add_argument('--scenes', metavar='FILE', help='list of scenes: CSV or GeoParquet with '
                       'the columns name, from, to, or STAC items')
    group.add_argument('--asset', metavar='NAME', help="asset of STAC items that have none named "
                       "'from' and 'to' (visual)")
    group.add_argument('--dry-run', action='store_true', help='say windows, minutes, memory and '
                       'disk, and compute nothing')
    group.add_argument('--aoi', metavar='FILE', help='polygons that limit the work')
    group.add_argument('--assume-same-grid', action='store_true', help='the date without a '
                       'coordinate system lies on the grid of the other')
    group.add_argument('--align', action='store_true', help='move the later date by the shift '
                       'that the pair check estimates')
    group.add_argument('--match-histogram', action='store_true', help="bring the later date's "
                       "values to the distribution of the earlier one's")
    group.add_argument('--force', action='store_true', help='go on where the pair check refuses')
    group.add_argument('--pairs', action='store_true', help='folders hold pairs of the same '
                       'names, not tiles of one mosaic a date')
    group.add_argument('--onnx', metavar='FILE', help='exported model, in place of CONFIG CKPT')
    _add_outputs(parser)
    _add_parts(parser)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('files of a scene')
    group.add_argument('--probability', action='store_true', help='write probability.tif too')
    group.add_argument('--geoparquet', action='store_true', help='write the layers as GeoParquet '
                       'too')
    group.add_argument('--min-area', type=float, metavar='M2', help='leave smaller regions out of '
                       'the polygons')
    group.add_argument('--simplify', type=float, metavar='PIXELS', help='how far a simplified '
                       "outline may lie from the pixels'")
    group.add_argument('--summary-language', choices=('en', 'zh'), help='of summary and report '
                       "(default: the model's)")


def _add_parts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('parts of a scene', 'see docs/en/scaling.md')
    group.add_argument('--part', type=_part, metavar='I/N', help='do the I-th of N shares of the '
                       'blocks, and combine nothing')
    group.add_argument('--combine', action='store_true', help='make the files of what the parts '
                       'have done')
    group.add_argument('--overwrite', action='store_true', help='delete the blocks of another run '
                       'in DIR first')
    group.add_argument('--engine', choices=('local', 'ray'), help='where blocks are computed '
                       '(local)')
    group.add_argument('--workers', type=int, metavar='N', help='processes of --engine ray (2)')
    group.add_argument('--block-size', type=int, metavar='PIXELS', help='side of a block, about '
                       '(4096)')


def _part(text: str) -> tuple[int, int]:
    found = re.fullmatch(r'(\d+)/(\d+)', text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"'{text}' names no part; expected I/N, for example 1/4, "
                                         'counted from 1')
    return int(found[1]), int(found[2])


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what is missing or contradicts itself."""
    own = [name for name in _OWN if getattr(args, name)]
    own += ['window'] if args.window == 'auto' else []
    if own and not args.out:
        parser.error(f'{flag_of(own[0])} concerns scenes, whose files need a folder: --out DIR')
    pictures = _pictures(args)
    if own and pictures:
        flag = '--language both' if pictures[0] == 'language' else flag_of(pictures[0])
        parser.error(f'{flag} concerns single pictures, {flag_of(own[0])} scenes: give one of them')
    if args.part and args.combine:
        parser.error('--part and --combine exclude each other: parts first, then --combine')
    if args.asset and not args.scenes:
        parser.error('--asset concerns lists of scenes: --scenes FILE')
    for name in ('min_area', 'simplify'):
        value = getattr(args, name) or 0.0
        if not (math.isfinite(value) and value >= 0):
            parser.error(f'{flag_of(name)} {value}: expected a number, 0 or more')
    for name, least in (('workers', 1), ('block_size', 256)):
        value = getattr(args, name)
        if value is not None and value < least:
            parser.error(f'{flag_of(name)} {value}: expected at least {least}')


def _pictures(args: argparse.Namespace) -> list[str]:
    """Return the flags given that draw or list what belongs to a single picture."""
    both = ['language'] if args.language == 'both' else []  # a scene's files are in one language
    return [name for name in _PICTURES if getattr(args, name)] + both


def flag_of(name: str) -> str:
    """Return a flag as it is typed."""
    return f"--{name.replace('_', '-')}"


def wanted(args: argparse.Namespace) -> bool:
    """Tell whether the images are a scene by the flags, or by what the files are.

    Pictures without a place that are larger than a window are told once the model is there, see
    :func:`larger_than_window`.
    """
    if args.window == 'auto' or any(getattr(args, name) for name in _OWN):
        return True
    if not args.out or args.list or _pictures(args):
        return False
    given = (args.img or args.img_from)[0]
    return len(args.img or args.img_from) > 1 or placed(given)


def larger_than_window(args: argparse.Namespace, path: str, window: Any) -> bool:
    """Tell whether a picture without a place is answered in windows, whose files are a scene's.

    Without the packages of the extra ``geo`` such a picture is answered as the smaller ones are.
    """
    from importlib.util import find_spec

    from rscc.rasters.image_files import header_size
    size = header_size(path)
    if not args.out or args.list or size is None or window.grid(*size) is None or _pictures(args):
        return False
    lacking = [name for name in ('rasterio', 'geopandas', 'pyogrio') if find_spec(name) is None]
    if lacking:
        print(f"note         without {', '.join(lacking)} there is no change.tif and no "
              'changes.gpkg: pip install "rscc[geo]"')
    return not lacking


def placed(given: str) -> bool:
    """Tell whether a file, or the first raster of a folder, has a place on the map."""
    from rscc.rasters.headers import read_header
    from rscc.scenes.mosaics import ENDINGS, driver_of
    if '://' in given or given.startswith('/vsi'):
        return True
    path = Path(given)
    if path.is_dir():
        rasters = sorted(found for found in path.iterdir() if found.suffix.lower() in ENDINGS)
        return bool(rasters) and placed(str(rasters[0]))
    if not path.is_file():
        return False
    try:
        if driver_of(given) != 'GTiff':
            return True
        header = read_header(path)
    except ValueError:  # a picture, or what its reader refuses with more words
        return False
    return (header.transform is not None or header.crs is not None
            or path.with_suffix('.tfw').is_file())


def run(args: argparse.Namespace, decoding: dict[str, Any], predictor: Any = None) -> None:
    """Answer scenes and report.

    Args:
        args: The command line.
        decoding: Options of the caption head that were given.
        predictor: Where a model is loaded and named already.

    Raises:
        SystemExit: With what is wrong, or with code :data:`GAPS` where places could not be read.
    """
    from rscc.scenes.run import Done, SceneRun
    try:
        make = _factory(args, decoding)
        model = make() if predictor is None else predictor
        if predictor is None:
            print(f'model        {model.title}')
        task = SceneRun(_pairs(args), model, args.out, _options(args), _remark,
                        listed=args.scenes is not None)
        if args.dry_run:
            from rscc.scenes.estimate import estimate
            print(estimate(task, args.part))
            return
        folder = task.folder(args.overwrite)
        done = Done(found=len(task.blocks))
        if not args.combine:
            done = _answer(args, task, folder, make)
        if args.part is None:
            task.combine(folder, done)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    except (RuntimeError, MemoryError) as error:
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise SystemExit(f'error: the model cannot be computed: {told}. Finished blocks are kept; '
                         'with a smaller --batch-size or --block-size it needs less memory'
                         ) from error
    print(describe(done, args))
    if task.left_out:
        first = next(iter(task.left_out.items()))
        raise SystemExit(f'error: {len(task.left_out)} scenes of the list were left out; first, '
                         f'{first[0]}: {first[1]}')
    if done.gaps:
        print(f'note         {done.gaps} places could not be read; they are empty in the map and '
              f'listed in summary.json (exit code {GAPS})', file=sys.stderr)
        raise SystemExit(GAPS)


def _answer(args: argparse.Namespace, task: Any, folder: Any, make: Any) -> Any:
    if args.engine != 'ray':
        return task.answer(folder, args.part)
    from rscc.scenes.ray_engine import answer_with_ray
    return answer_with_ray(task, folder, make, args.part, args.workers or 2)


def _factory(args: argparse.Namespace, decoding: dict[str, Any]) -> Any:
    """Return what loads the model."""
    from rscc.apis.scenes import factory_of
    if args.onnx:
        if not args.onnx.lower().endswith('.onnx'):
            raise ValueError(f"--onnx '{args.onnx}': a file ending in .onnx was expected, as "
                             'tools/deployment/export_onnx.py writes it. A checkpoint stands '
                             'without --onnx')
        settings = dict(window=_side(args), overlap=args.overlap, decoding=decoding)
        return factory_of(args.onnx, **settings)
    config, checkpoint = args.model if len(args.model) == 2 else (args.model[0], None)
    # Bands and scale are for the reader of the scene: the model tells those of its training.
    return factory_of(config, checkpoint, device=args.device, amp=args.amp,
                      cfg_options=args.cfg_options, window=_side(args), overlap=args.overlap,
                      decoding=decoding)


def _pairs(args: argparse.Namespace) -> list:
    if args.scenes:
        from rscc.scenes.scene_lists import read_scenes
        return read_scenes(args.scenes, args.asset or 'visual')
    from rscc.apis.scenes import scene_of
    pair = scene_of(args.img or args.img_from, args.img_to)
    for date in pair.dates:
        if isinstance(date, tuple) or Path(date).is_dir():
            shown = (counted(len(date), 'file') if isinstance(date, tuple) else
                     f"the folder '{date}'")
            print(f'note         {shown}: tiles of one mosaic (--pairs answers files of the same '
                  'name one by one)')
    return [pair]


def _options(args: argparse.Namespace) -> Any:
    from rscc.scenes.blocks import BLOCK_PIXELS
    from rscc.scenes.contracts import OutputOptions
    from rscc.scenes.preparation import SceneOptions
    outputs = OutputOptions(args.probability, args.geoparquet, args.min_area or 0.0,
                            args.simplify or 0.0, args.summary_language)
    return SceneOptions(
        bands=None if args.bands is None else tuple(args.bands), scale=args.scale, area=args.aoi,
        assume_same_grid=args.assume_same_grid, align=args.align,
        match_histogram=args.match_histogram, force=args.force, batch_size=args.batch_size,
        block_pixels=args.block_size**2 if args.block_size else BLOCK_PIXELS,
        choose_window=args.window == 'auto', outputs=outputs)


def _side(args: argparse.Namespace) -> int | None:
    return None if args.window == 'auto' else args.window


def _remark(text: str) -> None:
    print(f'note         {text}')


def describe(done: Any, args: argparse.Namespace) -> str:
    """Lay out what a run has done, in lines without a final line break."""
    lines = []
    if done.blocks:
        lines.append(f'computed     {counted(done.windows, "window")} in '
                     f'{counted(done.blocks, "block")}, '
                     f'{done.megapixels:.1f} Mpx in {done.seconds:.1f} s: {done.rate:.2f} Mpx/s')
    if done.found:
        lines.append(f'found        {counted(done.found, "block")} done before')
    if args.part is not None:
        count = args.part[1]
        lines.append(f'part         {args.part[0]} of {count} is done; when all are: the same '
                     'command with --combine in place of --part')
    for name, summary in done.summaries.items():
        label = 'answer' if len(done.summaries) == 1 else name[:12]
        lines += [f'{padded(label if not place else "", 12)} {sentence}'
                  for place, sentence in enumerate(summary['sentences'])]
    if done.files:
        lines.append('written      ' + '\n             '.join(map(os.fspath, done.files)))
    return '\n'.join(lines)


def names(paths: Sequence[str] | None) -> str | None:
    """Return the single path of a flag that takes several; None where it was not given.

    Raises:
        SystemExit: If there are several where one is meant.
    """
    if paths is None or len(paths) == 1:
        return paths and paths[0]
    raise SystemExit(f'error: {len(paths)} images are given as one date: they are tiles of a '
                     'mosaic, whose map needs a folder: --out DIR')
