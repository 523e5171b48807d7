"""Make the built-in dataset: rendered pairs with change masks, English and Chinese captions.

    python tools/dataset_converters/synth.py --out data/synth --train 2000 --val 300 --test 300 \
        --seed 0 --jobs 2

Running it again finishes what a kill left, or does nothing.
"""
import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.synth.contact_sheet import write_contact_sheet
from rscc.synth.generator import Parameters, generate


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, required=True, help='folder of the dataset')
    parser.add_argument('--train', type=int, default=2000, help='training pairs (%(default)s)')
    parser.add_argument('--val', type=int, default=300, help='validation pairs (%(default)s)')
    parser.add_argument('--test', type=int, default=300, help='test pairs (%(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='the same seed gives the same bytes (%(default)s)')
    parser.add_argument('--jobs', type=int, default=2, help='processes (%(default)s)')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace a dataset of other parameters in the folder')
    parser.add_argument('--contact-sheet', type=Path, metavar='FILE',
                        help='also write an overview picture of the first pairs')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Make the dataset and say what was done."""
    args = parse_args(arguments)
    start = time.perf_counter()
    try:
        parameters = Parameters(args.train, args.val, args.test, args.seed)
        written = generate(args.out, parameters, args.jobs, args.overwrite)
        if args.contact_sheet:
            write_contact_sheet(args.out, args.contact_sheet)
    except (ValueError, OSError) as error:
        raise SystemExit(f'synth.py: {error}') from error
    total, seconds = len(parameters.pairs()), time.perf_counter() - start
    if written:
        print(f"{total} pairs in '{args.out}' after {seconds:.0f} s "
              f'({60 * total / seconds:.0f} a minute)')
    else:
        print(f"'{args.out}' is complete already ({total} pairs); nothing to do")
    if args.contact_sheet:
        print(f"contact sheet: '{args.contact_sheet}'")


if __name__ == '__main__':
    main()
