"""The tiling command: large pairs cut into tiles, and maps of tiles merged.

``tools/dataset_converters/tiles.py`` calls it.
"""
import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from rscc.apis.command_line import output_folder
from rscc.rasters.blending import BLENDS, RULES
from rscc.rasters.hrscd import scenes_of_hrscd
from rscc.rasters.tiles import (
    MAP_KINDS,
    SPLITS,
    Scene,
    TileIndex,
    cut,
    read_index,
    scenes_of_folder,
    scenes_of_pair,
)
from rscc.utils import counted, write_json


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line, cut or merge.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(prog=prog, description='Cut image pairs into tiles, merge the '
                                     'maps of tiles.',
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True, metavar='cut | merge')
    cutter = commands.add_parser('cut', help='cut pairs and labels into tiles')
    merger = commands.add_parser('merge', help='merge maps of tiles, and score them')
    _add_cut(cutter)
    _add_merge(merger)
    parser.epilog = f'{cutter.format_usage()}\n{merger.format_usage()}'
    args = parser.parse_args(arguments)
    if args.command == 'cut' and args.root is None and not (args.img_from and args.img_to):
        parser.error('cut needs a folder, or the files of one pair: --from FILE --to FILE')
    if args.command == 'cut' and args.root is not None and args.shares and not args.hrscd:
        parser.error('--shares splits one pair, given by --from FILE --to FILE')
    if args.command == 'cut' and args.hrscd and (args.root is None or args.semantic):
        parser.error('--hrscd needs the folder of the five parts, and finds the class maps itself')
    try:
        (run_cut if args.command == 'cut' else run_merge)(args)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error


def _add_grid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--size', type=int, default=256, help='side of a tile (%(default)s)')
    parser.add_argument('--overlap', type=int, default=64, help='pixels that neighbours share; 0 '
                        'for tiles side by side without a mirrored border (%(default)s)')


def _add_cut(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('root', nargs='?', help='folder with SPLIT/A, SPLIT/B, SPLIT/label, or '
                        'A, B, label; without it, --from and --to are files')
    parser.add_argument('--out', required=True, type=output_folder, metavar='DIR',
                        help='folder of the tiles, their '
                        'lists and tiles.json')
    parser.add_argument('--from', dest='img_from', metavar='NAME',
                        help='file, or folder below ROOT, of the earlier date (folder A)')
    parser.add_argument('--to', dest='img_to', metavar='NAME',
                        help='file, or folder below ROOT, of the later date (folder B)')
    parser.add_argument('--label', metavar='NAME', help='file, or folder below ROOT, of the '
                        'labels; none for no labels (folder label)')
    parser.add_argument('--semantic', nargs=2, metavar='NAME', help='files, or folders below ROOT, '
                        'of the class maps of the earlier and of the later date (label_A label_B)')
    parser.add_argument('--hrscd', action='store_true', help="ROOT holds HRSCD's five parts; whole "
                        'images are divided into splits by lot, --shares 0.6 0.2 0.2')
    parser.add_argument('--splits', nargs='+', metavar='NAME',
                        help='split folders (default: those of train, val, test that exist)')
    parser.add_argument('--shares', nargs='+', type=float, metavar='SHARE', help='split one pair '
                        'from left to right into train, val and test (or train and test)')
    _add_grid(parser)
    parser.add_argument('--bands', nargs='+', type=int, metavar='BAND', help='bands, from 1, that '
                        'become red, green and blue, then any others; of other than three, tiles '
                        'are TIFFs')
    parser.add_argument('--scale', nargs=2, type=float, metavar=('LOW', 'HIGH'),
                        help='values that become 0 and 255 (for images of more than 8 bits)')
    parser.add_argument('--jobs', type=int, default=min(4, os.cpu_count() or 1), metavar='N',
                        help='threads that compress tiles (%(default)s)')


def _add_merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', help='maps of the tiles: probabilities/ or masks/ '
                        'that a test wrote (--show-dir)')
    parser.add_argument('--tiles', metavar='FILE', help='tiles.json or its folder')
    parser.add_argument('--image-size', nargs=2, type=int, metavar=('WIDTH', 'HEIGHT'),
                        help='without --tiles: size of every image; see also --size, --overlap')
    parser.add_argument('--out', required=True, type=output_folder, metavar='DIR',
                        help='folder of the merged maps')
    parser.add_argument('--splits', nargs='+', metavar='NAME',
                        help='splits to merge (default: those whose tiles are there)')
    parser.add_argument('--rule', choices=RULES, default='mean', help='; '.join(
        f'{name}: {text}' for name, text in RULES.items()) + ' (%(default)s)')
    parser.add_argument('--blend', choices=BLENDS, default='none', help='; '.join(
        f'{name}: {text}' for name, text in BLENDS.items()) + ' (%(default)s)')
    parser.add_argument('--threshold', type=float, default=0.5,
                        help='changed above this (%(default)s)')
    parser.add_argument('--classes', action='store_true',
                        help='grey tiles hold class numbers, not probabilities')
    parser.add_argument('--probabilities', action='store_true', help='write P(changed) of the '
                        'whole images too, as grey of 16 bits')
    parser.add_argument('--label', metavar='PATH', help='full-size labels, a folder or one file: '
                        'prints the scores and writes metrics.json')
    _add_grid(parser)


def run_cut(args: argparse.Namespace) -> None:
    """Cut, and say how many tiles there are."""
    index = TileIndex(args.size, args.overlap, tuple(_scenes(args)), args.bands, args.scale)
    for path in cut(index, args.out, args.jobs):
        pairs = sum(len(index.grid(scene)) for scene in index.scenes if scene.split == path.stem)
        print(f'{pairs:8d} pairs of tiles  {path}')


def _scenes(args: argparse.Namespace) -> list[Scene]:
    label = None if (args.label or '').lower() == 'none' else args.label
    if args.hrscd:
        shares = args.shares or [0.6, 0.2, 0.2]
        if len(shares) not in SPLITS or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f'--shares {" ".join(map(str, shares))}: expected two (train, test) '
                             'or three (train, val, test) positive numbers whose sum is 1')
        return scenes_of_hrscd(args.root, dict(zip(SPLITS[len(shares)], shares, strict=True)))
    if args.root is None:
        files = {'from': args.img_from, 'to': args.img_to, 'label': label,
                 **dict(zip(MAP_KINDS, args.semantic or (), strict=False))}
        return scenes_of_pair({kind: Path(path) for kind, path in files.items() if path},
                              args.shares)
    return scenes_of_folder(args.root, args.splits, args.img_from or 'A', args.img_to or 'B',
                            'label' if args.label is None else label, args.semantic or ())


def run_merge(args: argparse.Namespace) -> None:
    """Merge, and print the scores where there are labels."""
    # Imported late: help, mistyped arguments and cutting should not wait for torch.
    from rscc.evaluation.table import format_table
    from rscc.inference.tile_maps import Merging, merge_tiles, scenes_of_tiles
    if args.tiles is None and args.image_size is None:
        raise ValueError('merge needs --tiles (tiles.json of the cut), or --image-size for tiles '
                         'that were cut by another program')
    if args.tiles is not None:
        index = read_index(args.tiles)
    else:
        width, height = args.image_size
        index = TileIndex(args.size, args.overlap,
                          tuple(scenes_of_tiles(args.folder, height, width)))
    options = Merging(args.rule, args.blend, args.threshold, args.classes, args.probabilities)
    written, scores = merge_tiles(args.folder, index, args.out, args.splits, args.label, options)
    if args.label:
        write_json(Path(args.out) / 'metrics.json', scores)
        print('\n' + format_table(scores) + '\n')
    print(f'{counted(len(written), "map")} written to {args.out}')
