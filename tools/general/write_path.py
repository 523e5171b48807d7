"""Write path lists (train.txt, val.txt, test.txt) of a change detection dataset.

Lines read ``from  to  label``, two blanks between, as ChangeCLIP's lists do. Files are matched by
name.

Example::

    python tools/general/write_path.py data/SYSU-CD --from time1 --to time2
    python tools/general/write_path.py scenes --label none --relative --out lists
    python tools/general/write_path.py data/LEVIR_CD_PLUS/cut_data --hold-out 0.1
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.utils.paths import PathList, find_pairs, hold_out, write_path_list


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write path lists: one line a pair, "from  to  label".')
    parser.add_argument('root', help='folder with SPLIT/A, SPLIT/B, SPLIT/label, or A, B, label')
    parser.add_argument('--splits', nargs='+', metavar='NAME',
                        help='split folders (default: those of train, val, test that exist)')
    parser.add_argument('--from', dest='img_from', default='A', metavar='FOLDER',
                        help='folder of the earlier date (%(default)s)')
    parser.add_argument('--to', dest='img_to', default='B', metavar='FOLDER',
                        help='folder of the later date (%(default)s)')
    parser.add_argument('--label', default='label', metavar='FOLDER',
                        help='folder of the labels, or none for lists of two columns (%(default)s)')
    parser.add_argument('--hold-out', type=float, metavar='SHARE',
                        help='make val.txt of this share of the images of train, all tiles of an '
                             'image together (for datasets without a val folder)')
    parser.add_argument('--out', metavar='DIR', help='where the lists go (default: ROOT)')
    parser.add_argument('--relative', action='store_true',
                        help='write paths relative to ROOT instead of absolute ones')
    parser.add_argument('--skip-unmatched', action='store_true',
                        help='leave out files without a partner instead of stopping')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Match, report, write."""
    args = parse_args(arguments)
    label = None if args.label.lower() in ('none', '') else args.label
    try:
        lists = find_pairs(args.root, args.splits, args.img_from, args.img_to, label)
        if args.hold_out is not None:
            lists = with_validation(lists, args.hold_out)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    problems = [describe_unmatched(found) for found in lists if found.unmatched]
    if problems and not args.skip_unmatched:
        raise SystemExit('error: ' + '\n       '.join(problems) + '\nNothing was written. '
                         'Complete the folders, or pass --skip-unmatched.')
    for problem in problems:
        print(f'left out: {problem}')
    for found in lists:
        try:
            path = write_path_list(found, args.out or args.root,
                                   args.root if args.relative else None)
        except OSError as error:
            raise SystemExit(f'error: the lists cannot be written: {error}. Choose another folder '
                             'with --out') from error
        print(f'{len(found.rows):6d} pairs  {path}')


def with_validation(lists: list[PathList], share: float) -> list[PathList]:
    """Divide the list named train into train and val.

    Raises:
        ValueError: If there is no train, or a val already.
    """
    names = [found.name for found in lists]
    if 'train' not in names or 'val' in names:
        raise ValueError(f'--hold-out makes val of a part of train, found {names}. Leave it out, '
                         'or name the folders to take with --splits')
    return [part for found in lists
            for part in (hold_out(found, share) if found.name == 'train' else [found])]


def describe_unmatched(found: PathList) -> str:
    """Say how many files lack a partner, and the first three."""
    first = ', '.join(found.unmatched[:3])
    return f'{found.name}: {len(found.unmatched)} file(s) without a partner, first: {first}'


if __name__ == '__main__':
    main()
