"""The check command: whether two dates of a scene fit each other and the weights.

No model runs. ``tools/analysis_tools/check_pair.py`` has examples. ``rscc check`` also takes a
dataset, which ``rscc.commands.check_dataset`` checks.
"""
import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rscc.apis.command_line import add_reading_arguments, explained, output_file, parse_scale

if TYPE_CHECKING:
    from rscc.scenes.contracts import ModelFacts
    from rscc.scenes.pair_check import PairCheck


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the check is told: images, how to read them, weights, where the result goes."""
    parser.add_argument('img_from', metavar='A', help='earlier date: a GeoTIFF, COG, VRT, picture, '
                        'or a folder of tiles that are one mosaic')
    parser.add_argument('img_to', metavar='B', nargs='?', help='later date; without it A is '
                        'checked alone')
    parser.add_argument('--ckpt', metavar='CKPT', help='weights that shall answer: what they were '
                        'trained on is compared (the file is read, no model is built)')
    parser.add_argument('--ground-resolution', type=float, metavar='METRES', help='pixel size of '
                        'the training images, where the weights do not tell')
    parser.add_argument('--json', type=output_file, metavar='FILE',
                        help='write the result there too')
    group = parser.add_argument_group('reading')
    add_reading_arguments(group)
    group.add_argument('--aoi', metavar='FILE', help='polygons that limit the work')
    group.add_argument('--assume-same-grid', action='store_true', help='go on where only one date '
                       'has a place on the map, or names a coordinate system')


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what makes no sense, and turn ``args.scale`` into numbers or 'percentile'."""
    if args.ground_resolution is not None and not (
            0 < args.ground_resolution < math.inf):
        parser.error(f'--ground-resolution {args.ground_resolution}: expected metres above 0')
    args.scale = parse_scale(parser, args.scale)


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line, check and report.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.

    Raises:
        SystemExit: With code 1 if the pair is refused or cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description='Check whether two dates of a scene fit each other and the weights: '
        'place, pixel size, shift, light, clouds. No model runs. Exit code 1 means refused.')
    add_arguments(parser)
    args = parser.parse_args(arguments)
    check_arguments(parser, args)
    run(args)


def either(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line; check two dates, or the dataset that is named in their place.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.

    Raises:
        SystemExit: With code 1 if something is wrong with the dates or the dataset.
    """
    from rscc.commands import check_dataset
    parser = argparse.ArgumentParser(
        prog=prog, description='Check two dates of a scene (A B, or one image A), or a whole '
        'dataset: a folder, a config or a name in the place of A. No model runs.')
    add_arguments(parser)
    check_dataset.add_arguments(parser.add_argument_group('for a dataset'))
    args = parser.parse_args(arguments)
    check_arguments(parser, args)
    if args.img_to is None and check_dataset.is_dataset(args.img_from):
        check_dataset.run(args.img_from, args)
    else:
        run(args)


def run(args: argparse.Namespace) -> None:
    """Check and report.

    Args:
        args: Those of :func:`add_arguments`, checked by :func:`check_arguments`.

    Raises:
        SystemExit: With code 1 if the pair is refused, or with the reason why it cannot be read.
    """
    with explained():
        check, remarks = _check(args)
    for remark in remarks:
        print(f'note: {remark}')
    print(check)
    if args.json is not None:
        from rscc.utils import write_json
        with explained():
            write_json(args.json, check.to_dict() | dict(
                sources=[args.img_from, *filter(None, [args.img_to])], remarks=remarks))
    if check.verdict == 'refuse':
        raise SystemExit(1)


def _check(args: argparse.Namespace) -> tuple['PairCheck', list[str]]:
    """Return the check, and what is done to the dates while they are read."""
    # Imported late: help and wrong arguments should not wait for OpenCV.
    from rscc.scenes.pair_check import check_pair, refused
    from rscc.scenes.reading import Area, PairReader
    from rscc.scenes.sources import Reading, open_date
    facts = _facts(args)
    reading = Reading(tuple(args.bands) if args.bands else facts.bands,
                      facts.scale if args.scale is None else args.scale)
    dates = [open_date(path, reading) for path in (args.img_from, args.img_to) if path is not None]
    area = None if args.aoi is None else Area(args.aoi, dates[0].grid)
    try:
        reader = PairReader(dates, args.assume_same_grid, area=area)
    except ValueError as error:  # no overlap, for instance: a finding like others
        return refused(str(error)), []
    return check_pair(reader, facts), reader.remarks


def _facts(args: argparse.Namespace) -> 'ModelFacts':
    """Return what the weights tell of their training images, as far as the check needs it."""
    from rscc.scenes.contracts import ModelFacts
    data: dict[str, Any] = {}
    if args.ckpt is not None:
        from rscc.inference.loading import training_data
        data = training_data(args.ckpt)
    ground = args.ground_resolution or data.get('ground_resolution')
    return ModelFacts(bands=data.get('bands'), scale=data.get('scale'),
                      ground_resolution=None if ground is None else float(ground))
