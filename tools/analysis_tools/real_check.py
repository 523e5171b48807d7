"""Evaluate a checkpoint on real pairs: change maps, false area, flag, sentences, time.

The pairs are those below $RSCC_SAMPLES, or below --root in the same layout; which classes count in
which set stands in tools/benchmark/real_sets.py and in docs/en/evaluation.md.

Examples::

    python tools/analysis_tools/real_check.py
    python tools/analysis_tools/real_check.py work_dirs/blip_synth/epoch_8.pth --out out/quickstart
    python tools/analysis_tools/real_check.py x.pth --root held_back --name "12 minutes, seed 1"
    python tools/analysis_tools/real_check.py --write --log evaluations.log
    python tools/analysis_tools/real_check.py out/a/scores.json --compare out/b/scores.json
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
    parser.add_argument('checkpoint', nargs='?', default='rscc-small', help='a checkpoint, a work '
                        'folder, the name of a published model (%(default)s), or scores.json of an '
                        'earlier run, which is shown again without computing')
    parser.add_argument('--root', metavar='DIR', help='folder of the sets (RSCC_SAMPLES)')
    parser.add_argument('--unchanged-root', metavar='DIR', help='folder of the sets in which '
                        'nothing changed (RSCC_TRAIN)')
    parser.add_argument('--sets', nargs='+', metavar='FOLDER', help='these sets alone')
    parser.add_argument('--name', help='of the run in tables (that of the checkpoint)')
    parser.add_argument('--out', type=output_folder, metavar='DIR',
                        help='gets scores.json, pairs.csv, panels and '
                        'index.html (work_dirs/real_check/NAME)')
    parser.add_argument('--no-panels', dest='panels', action='store_false',
                        help='no pictures, no index.html')
    parser.add_argument('--rounds', type=int, default=20, help='timed calls, 0 for none (20)')
    parser.add_argument('--compare', nargs='+', metavar='JSON', default=[],
                        help='scores.json of other runs: their figures beside these')
    parser.add_argument('--log', metavar='FILE', help='add a line on this run: date, hash, figures')
    parser.add_argument('--write', action='store_true', help='write the tables into the docs')
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='their folder (docs)')
    parser.add_argument('--device', help='cpu, cuda or cuda:N (the best one here)')
    add_config_options(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate, or read what an earlier run saved; print, compare and write."""
    args = parse_args(arguments)
    root = args.root or os.environ.get('RSCC_SAMPLES')
    saved = args.checkpoint.endswith('.json')
    if not saved and not args.root and not (root and Path(root).is_dir()):
        print(f"skipped: no real pairs at '{root or ''}': set RSCC_SAMPLES to their folder, or "
              'name one with --root')
        return
    # Imported late: help and wrong arguments should not wait for torch.
    from tools.benchmark.real_run import evaluate, read_run
    from tools.benchmark.real_tables import comparison, sections_of
    from tools.benchmark.tables import to_text, write_section
    with explained():
        others = [read_run(path) for path in args.compare]
        run = read_run(args.checkpoint) if saved else evaluate(
            args.checkpoint, root, args.unchanged_root or os.environ.get('RSCC_TRAIN'),
            sets=args.sets, name=args.name, out=args.out, panels=args.panels, rounds=args.rounds,
            log=args.log, device=args.device, cfg_options=args.cfg_options)
        sections = sections_of(run) + ([comparison([run, *others])] if others else [])
        for section in sections:
            print(f'\n{to_text(section)}\n')
        if args.write:
            for section in sections:
                pages = write_section(section, args.docs)
            print('written to ' + ' and '.join(f"'{os.path.relpath(page)}'" for page in pages))
    if run['left_out'] and not saved:
        raise SystemExit(f'error: {len(run["left_out"])} pairs could not be read and are not in '
                         f'these figures; the first: {run["left_out"][0]}')


if __name__ == '__main__':
    main()
