"""The command that makes training data of two large images and polygons.

``tools/dataset_converters/scene_pairs.py`` calls it and has examples.
"""
import argparse
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rscc.apis.command_line import add_reading_arguments, explained, output_folder, parse_scale

if TYPE_CHECKING:
    from rscc.scenes.pair_scene import PairDatasetOptions

#: Passes over the training tiles that are proposed where the config's iterations are many more.
_PASSES = 60
#: Metres of a pixel that the shipped model is of use for.
_METRES = 0.2, 2.0


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line, make the dataset, and say what came out.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.

    Raises:
        SystemExit: With the reason why the dataset cannot be made.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description='Make a dataset for training of two georeferenced images of any '
        'size and polygons: tiles with change labels, divided by place into train, val and test.')
    _add_images(parser)
    _add_labels(parser)
    _add_tiles(parser)
    args = parser.parse_args(arguments)
    args.scale = parse_scale(parser, args.scale)
    if (args.polygons is None) == (args.polygons_from is None and args.polygons_to is None) or (
            args.polygons_from is None) != (args.polygons_to is None):
        parser.error('give --polygons FILE (what changed), or --polygons-from FILE and '
                     '--polygons-to FILE (what exists at each date)')
    if args.classes and not args.class_column:
        parser.error('--classes names values of a column: --class-column NAME')
    if args.jobs < 1:
        parser.error(f'--jobs {args.jobs}: expected 1 or more')
    run(args)


def _add_images(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('images')
    group.add_argument('--from', dest='img_from', nargs='+', required=True, metavar='FILE',
                       help='earlier date: a GeoTIFF, COG or VRT; a folder or several files are '
                       'one mosaic')
    group.add_argument('--to', dest='img_to', nargs='+', required=True, metavar='FILE',
                       help='later date likewise; it is warped onto the grid of the earlier one')
    add_reading_arguments(group)
    group.add_argument('--aoi', metavar='FILE', help='polygons of where changes were looked for; '
                       'labels outside are ignored (255)')
    group.add_argument('--assume-same-grid', action='store_true', help='the later date, which '
                       'names no coordinate system, lies on the grid of the earlier one')


def _add_labels(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('labels', 'vector files of any kind (GeoPackage, Shapefile, '
                                      'GeoJSON) and coordinate system')
    group.add_argument('--polygons', metavar='FILE', help='what changed or, with --date-column, '
                       'what exists at which date')
    group.add_argument('--polygons-from', metavar='FILE', help='what exists at the earlier date')
    group.add_argument('--polygons-to', metavar='FILE', help='what exists at the later date; what '
                       'only one of both has is the change')
    group.add_argument('--date-column', metavar='NAME', help='column of --polygons that says from, '
                       'to or both')
    group.add_argument('--class-column', metavar='NAME', help='column with the class (without it '
                       'all polygons are one class)')
    group.add_argument('--classes', nargs='+', metavar='NAME', help='classes in the order of their '
                       'numbers, from 1 (default: those found, by alphabet); polygons of others '
                       'are left out')
    group.add_argument('--captions', metavar='FILE', help='CSV with the columns sentence, language '
                       '(en, zh) and geometry (WKT), x and y, or tile')
    group.add_argument('--captions-crs', metavar='EPSG:CODE', help='coordinate system of the '
                       'places in --captions (default: that of the earlier date)')


def _add_tiles(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('tiles')
    group.add_argument('--out', required=True, type=output_folder, metavar='DIR',
                       help='folder of the dataset; a run '
                       'that was ended is continued by the same command')
    group.add_argument('--resolution', type=float, metavar='METRES', help='side of a pixel '
                       '(default: that of the earlier date)')
    group.add_argument('--size', type=int, default=256, metavar='PIXELS', help='side of a tile '
                       '(%(default)s)')
    group.add_argument('--overlap', type=int, default=0, metavar='PIXELS', help='what neighbouring '
                       'tiles share (%(default)s)')
    group.add_argument('--min-valid', type=float, default=0.8, metavar='SHARE', help='least share '
                       'of pixels with data at both dates; the others are labelled 255 '
                       '(%(default)s)')
    group.add_argument('--splits', nargs=3, type=float, default=(0.7, 0.15, 0.15),
                       metavar=('TRAIN', 'VAL', 'TEST'), help='shares of the tiles (0.7 0.15 0.15)')
    group.add_argument('--block', type=float, metavar='METRES', help='side of the squares that go '
                       'to one split as a whole (default: 1 to 8 tiles, by the size of the scene)')
    group.add_argument('--gap', type=int, metavar='PIXELS', help='least distance between tiles of '
                       'two splits; tiles in between are left out (default: the side of a tile)')
    group.add_argument('--seed', type=int, default=0, help='of the split (%(default)s)')
    group.add_argument('--keep-geo', action='store_true', help='write GeoTIFFs with their place, '
                       'not PNGs')
    group.add_argument('--jobs', type=int, default=min(4, os.cpu_count() or 1), metavar='N',
                       help='threads (%(default)s)')


def run(args: argparse.Namespace) -> None:
    """Make the dataset, and say what came out.

    Args:
        args: Those of :func:`main`.

    Raises:
        SystemExit: With the reason why the dataset cannot be made.
    """
    # Imported late: help and wrong arguments should not wait for OpenCV.
    with explained():
        from rscc.scenes.pair_dataset import SHEET, make_pair_dataset
        options = _options(args)
        try:
            report = make_pair_dataset(options, args.out, args.jobs,
                                       lambda text: print(f'note: {text}'))
        except KeyboardInterrupt:
            raise SystemExit(f"\nended before '{args.out}' was complete; the same command goes on "
                             'where it stopped') from None
    print('\n'.join(described(report)))
    print(f'\npicture of it: {Path(args.out) / SHEET}\n\nTrain on it:\n')
    print('\n'.join(training_commands(report, args.out)))
    print('\nOr go on from the model that comes with rscc, minutes on a CPU:\n')
    print('\n'.join(fine_tuning(report, args.out)))


def _options(args: argparse.Namespace) -> 'PairDatasetOptions':
    from rscc.scenes.change_polygons import PolygonFiles
    from rscc.scenes.pair_scene import PairDatasetOptions
    from rscc.scenes.sources import Reading
    files = PolygonFiles(args.polygons, args.polygons_from, args.polygons_to, args.class_column,
                         args.classes, args.date_column)
    dates = [paths[0] if len(paths) == 1 else tuple(paths)
             for paths in (args.img_from, args.img_to)]
    return PairDatasetOptions(
        *dates, files, args.captions, args.captions_crs, args.resolution, args.size, args.overlap,
        args.min_valid, tuple(args.splits), args.block, args.gap, args.seed,
        Reading(args.bands and tuple(args.bands), args.scale), args.aoi, args.assume_same_grid,
        args.keep_geo)


def described(report: Mapping[str, Any]) -> list[str]:
    """Return what came out, in lines for people.

    Args:
        report: Content of ``report.json``.
    """
    metres = report['ground_resolution']
    size = '' if metres is None else f' at {metres:g} m a pixel'
    rows, columns = report['lattice']
    lines = [f'{rows} x {columns} tiles of {report["tile_size"]} pixels{size}, blocks of '
             f'{report["block_tiles"]} x {report["block_tiles"]} tiles, {report["gap"]} pixels '
             'between splits', '',
             f'{"split":6s} {"tiles":>7s} {"with change":>12s} {"changed":>9s} {"ignored":>9s}']
    for split, found in report['splits'].items():
        lines.append(f'{split:6s} {found["tiles"]:7d} {found["changed_tiles"]:12d} '
                     f'{found["changed_share"]:9.2%} {found["ignored_share"]:9.2%}')
        if len(report['classes']) > 2:
            lines.append('       ' + ', '.join(f'{name} {share:.2%}' for name, share
                                              in found['class_shares'].items()))
    dropped = ', '.join(f'{number} {why}' for why, number in report['dropped'].items() if number)
    found = ', '.join(f'{number} {kind}' for kind, number in report['polygons'].items())
    lines += ['', f'left out: {dropped or "no tile"}', f'polygons: {found}']
    captions = report['captions']
    if captions is not None:
        lost = ', '.join(f'{number} ({why})' for why, number in captions['unmatched'].items())
        lines.append(f'sentences: {captions["matched"]} placed, not placed: {lost or "none"}')
        lines += [f'           {captions[key]} {key}' for key in captions
                  if ' ' in key and captions[key]]
    if report['damaged']:
        lines.append(f'damaged: {len(report["damaged"])} places of tiles could not be read and '
                     f'count as without data, first {report["damaged"][0]}')
    return lines


def training_commands(report: Mapping[str, Any], out: str | Path) -> list[str]:
    """Return commands that train on a dataset.

    Args:
        report: Content of its ``report.json``.
        out: Its folder.
    """
    classes, captions = len(report['classes']), report['captions']
    lacking = [split for split in ('train', 'val', 'test') if split not in report['splits']]
    note = [f'# the configs read three splits, and {" and ".join(lacking)} is missing here: give '
            'them a share (--splits)'] if lacking else []
    if report['bands'] and len(report['bands']) != 3:
        return [f'# images of {len(report["bands"])} bands: write a config as in '
                'docs/en/datasets.md#more-than-three-bands']
    if captions is None:
        # A list of pairs with masks, and a network that needs no pretrained weights.
        options = [] if classes == 2 else [f'model.change_head.num_classes={classes}']
        if report['tile_size'] < 256:  # what the config cuts out of larger images
            options.append(_crop(report))
        iterations = _PASSES * report['splits']['train']['tiles'] // 8
        if iterations < 40000:  # those of the config
            iterations = max(500, iterations)
            part = iterations // 5
            options += [f'train_cfg.max_iters={iterations}', f'train_cfg.val_interval={part}',
                        f'default_hooks.checkpoint.interval={part}',
                        f'param_scheduler.warmup={iterations // 20}']
        return [*note, _command('fcsiam_diff_levircd', out, options)]
    weights = ','.join(['0.3', *['1.0'] * (classes - 1)])
    options = [f'{split}_dataloader.dataset.type=LEVIRMCIDataset'
               for split in ('train', 'val', 'test')]
    options += [] if classes == 6 else [f'model.change_head.num_classes={classes}',
                                        f'model.change_head.loss_decode.class_weight=[{weights}]']
    configs = {'en': 'blip_synth', 'zh': 'blip_synth_zh'}
    return [*note, *(_command(configs[language], out, options)
                     for language in captions['languages'])]


def fine_tuning(report: Mapping[str, Any], out: str | Path) -> list[str]:
    """Return the command that fine-tunes the shipped model on a dataset, or why there is none.

    Args:
        report: Content of its ``report.json``.
        out: Its folder.
    """
    metres, bands, wrong = report['ground_resolution'], report['bands'], ''
    labels = _labels(report['classes'])
    if bands and len(bands) != 3:
        wrong = f'images of three bands, and these have {len(bands)}'
    elif metres is not None and not _METRES[0] <= metres <= _METRES[1]:
        wrong = f'pixels of about 0.25 to 1.6 m, and these have {metres:g} m'
        wrong += ': --resolution 0.5' if metres < _METRES[0] else ''
    elif 'train' not in report['splits']:
        wrong = 'a split named train, and there is none: --splits'
    elif labels is None:
        wrong = ('the classes building, road, vegetation, water and "parking lot": name them so in '
                 'the column and, in any order, with --classes, or leave out --class-column')
    if wrong:
        return [f'# rscc-small takes {wrong}']
    learnt, scored, absent = labels
    options = [f'train_dataloader.dataset.label_map={learnt}',
               f'test_dataloader.dataset.label_map={scored}']
    if absent:
        options.append(f'model.change_head.loss_decode.absent={absent}')
    if report['tile_size'] < 256:
        options.append(_crop(report))
    return [_command('rscc_small_finetune', out, options)]


def _labels(classes: Sequence[str]) -> tuple[dict[int, int], dict[int, int], dict] | None:
    """Return what the labels of a dataset are to the shipped model; None for unknown classes.

    Returns:
        File value -> label in training; the same in scores, which know no label that is known in
        part; and the setting ``absent`` of the loss, empty where that of the config is right.
    """
    from rscc.rasters.labels import IGNORE, NONE_LABELLED, SOME_CHANGE
    from rscc.scenes.change_polygons import CHANGED
    from rscc.synth.objects import CLASSES
    if list(classes[1:]) == [CHANGED]:
        return {0: 0, 1: SOME_CHANGE, IGNORE: IGNORE}, {0: 0, 1: 1, IGNORE: IGNORE}, {}
    if not set(classes) <= set(CLASSES):
        return None
    numbers = [CLASSES.index(name) for name in classes]
    scored = dict(enumerate(numbers)) | {IGNORE: IGNORE}
    if len(numbers) == len(CLASSES):
        return scored, scored, {}
    # Nobody looked for changes of the other classes.
    labelled = sorted(numbers[1:])
    return scored | {0: NONE_LABELLED}, scored, (
        {} if labelled == [1] else {NONE_LABELLED: labelled})


def _crop(report: Mapping[str, Any]) -> str:
    """Return the option that cuts no more out of a tile than it has."""
    return f'train_dataloader.dataset.pipeline.2.size=({report["tile_size"]},{report["tile_size"]})'


def _command(config: str, out: str | Path, options: Sequence[str]) -> str:
    words = ['python', 'tools/train.py', f'configs/{config}.py', '--data-root', str(out)]
    words += ['--cfg-options', *options] if options else []
    return ' '.join(map(shlex.quote, words))
