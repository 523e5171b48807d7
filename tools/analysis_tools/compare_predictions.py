r"""Compare two systems by their prediction files: intervals and paired tests, several seeds a side.

Examples::

    python tools/analysis_tools/compare_predictions.py before.json --with after.json
    python tools/analysis_tools/compare_predictions.py a_seed0.json a_seed1.json a_seed2.json \
        --with b_seed0.json b_seed1.json b_seed2.json --names plain exchanged --out compared.json

Files are those of ``tools/test.py --out``, or of any other form that ``tools/scores.py`` reads,
with ``--references``. docs/en/evaluation.md says how to read the table.
"""
import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import described, output_file


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('one', nargs='+', metavar='FILE',
                        help='prediction files of the first system, one for each seed')
    parser.add_argument('--with', nargs='+', default=[], metavar='FILE', dest='other',
                        help='those of the second system')
    parser.add_argument('--names', nargs=2, default=['first', 'second'], metavar='NAME',
                        help='names of the two systems in the table (%(default)s)')
    parser.add_argument('--references', metavar='JSON', help='annotation file of the dataset, for '
                        'files that hold captions only')
    parser.add_argument('--split', help='split of the references (default: test)')
    parser.add_argument('--language', choices=('en', 'zh'),
                        help='by default that of the first file, else en')
    parser.add_argument('--bootstrap', type=int, default=1000, metavar='N',
                        help='resamples of the images, at least 100 (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the resamples (%(default)s)')
    parser.add_argument('--out', type=output_file, metavar='JSON', help='write the comparison')
    args = parser.parse_args(arguments)
    if not args.other:
        parser.error('the second system is missing: put its files behind --with, as in '
                     f'{" ".join(args.one[:1])} --with {" ".join(args.one[1:]) or "OTHER.json"}')
    if args.bootstrap < 100:
        parser.error(f'--bootstrap {args.bootstrap}: expected at least 100; 1000 is usual')
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the files, compare, print."""
    args = parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.evaluation.comparison import (
        LEVEL,
        check_language,
        compare_runs,
        format_differences,
        format_lacking,
        is_significant,
        keep_shared,
        read_run,
    )
    from rscc.evaluation.predictions import read_metadata
    from rscc.evaluation.records import CaptionOptions
    from rscc.evaluation.references import read_references
    from rscc.utils import counted, write_json
    try:
        known = read_metadata(args.one[0]).get('dataset') or {}
        language = args.language or known.get('language') or 'en'
        stock = tuple(known.get('no_change_captions') or ())
        references = args.references and read_references(args.references, args.split, language,
                                                         stock)
        options = CaptionOptions(language=language, no_change_captions=stock,
                                 bootstrap=args.bootstrap, seed=args.seed)
        sides = [[read_run(path, references or None) for path in side]
                 for side in (args.one, args.other)]
        runs, lacking = [run for side in sides for run in side], {}
        check_language(runs, language)
        left_out = keep_shared(runs)
        compared = compare_runs(*sides, options, args.bootstrap, lacking)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    images = len(runs[0].records)
    dropped = (f'; WARNING: {counted(len(left_out), "image")} left out that some file lacks, '
               f'{left_out[0]!r} the first' if left_out else '')
    print(f'{len(args.one)} and {len(args.other)} files, language {language}, {args.bootstrap} '
          f'resamples, seed {args.seed}\n{counted(images, "image")} that all files have{dropped}'
          f'\n\n{format_differences(compared, args.names)}')
    if lacking:
        print(format_lacking(lacking))
    if args.out:
        write_json(args.out, {'first': args.one, 'second': args.other, 'language': language,
                              'resamples': args.bootstrap, 'seed': args.seed,
                              'images': images, 'left_out': left_out, 'level': LEVEL,
                              'lacking': lacking, 'differences': {
                                  key: asdict(found) | {'difference': found.value,
                                                        'significant': is_significant(found)}
                                  for key, found in compared.items()}})
        print(f'\nwritten: {args.out}')


if __name__ == '__main__':
    main()
