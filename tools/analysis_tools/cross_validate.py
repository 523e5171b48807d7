"""Measure what fine-tuning on a few labelled pairs gains, on the pairs that it was not given.

The pairs of a folder (A, B, label) are divided into folds; each fold is answered by a model that
was fine-tuned on the others, and all answers are scored together, before and after.

Examples::

    python tools/analysis_tools/cross_validate.py my_pairs
    python tools/analysis_tools/cross_validate.py my_pairs --folds 5 --seeds 3 --out out/cv
    python tools/analysis_tools/cross_validate.py $RSCC_SAMPLES/levir_cd_samples --seeds 3 --write
    python tools/analysis_tools/cross_validate.py out/cv/scores.json --write
"""
import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import add_config_options, described, explained, output_folder

ROOT = Path(__file__).resolve().parents[2]


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', help='holds A, B and label; or scores.json of an earlier run, '
                        'which is shown again without training')
    parser.add_argument('--config', default='configs/rscc_small_finetune.py',
                        help='the recipe (%(default)s)')
    parser.add_argument('--start', metavar='CKPT', help='weights to start from (load_from of the '
                        'recipe)')
    parser.add_argument('--folds', type=int, default=4, help='parts of the pairs (%(default)s)')
    parser.add_argument('--seeds', type=int, default=1, help='repetitions with other folds and '
                        'random numbers (%(default)s)')
    parser.add_argument('--out', type=output_folder, metavar='DIR',
                        help='gets scores.json and the trainings '
                        '(work_dirs/cross_validate/FOLDER)')
    parser.add_argument('--keep', action='store_true', help='keep the checkpoints of the trainings')
    parser.add_argument('--write', action='store_true', help='write the table into the docs')
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='their folder (docs)')
    parser.add_argument('--device', help='cpu, cuda or cuda:N for answers (the best one here)')
    add_config_options(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Cross-validate, or read what an earlier run saved; print and write."""
    args = parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.utils import read_json
    from tools.benchmark.cross_validation import cross_validate, section_of
    from tools.benchmark.tables import to_text, write_section
    with explained():
        if args.folder.endswith('.json'):
            result = read_json(args.folder)
        else:
            out = args.out or Path('work_dirs/cross_validate', Path(args.folder).resolve().name)
            result = cross_validate(
                args.folder, args.config, out, folds=args.folds, seeds=args.seeds,
                start=args.start, keep=args.keep, device=args.device, cfg_options=args.cfg_options)
        section = section_of(result)
        print(f'\n{to_text(section)}\n')
        if args.write:
            pages = write_section(section, args.docs)
            print('written to ' + ' and '.join(f"'{os.path.relpath(page)}'" for page in pages))


if __name__ == '__main__':
    main()
