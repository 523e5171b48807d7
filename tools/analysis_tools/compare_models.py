r"""Compare models trained on the same data for the same steps or minutes, with several seeds.

Examples::

    python tools/analysis_tools/compare_models.py --minutes 4 --seeds 3 --jobs 2 --threads 1 --write
    python tools/analysis_tools/compare_models.py blip_synth chg2cap_synth --steps 500 --seeds 2
    python tools/analysis_tools/compare_models.py --report-only --write
    python tools/analysis_tools/compare_models.py --minutes 4 --runs docs/en/compare.csv --write
    python tools/analysis_tools/compare_models.py --steps 6000 --seeds 3 --gpus 0 --threads 8 \
        --batch-size 64 --work-dir work_dirs/compare_gpu --write
    python tools/analysis_tools/compare_models.py --study diffusion --minutes 12 --seeds 3 --write

All configs are read and checked first: a misspelt one ends the tool before anything is trained.
Every run is a process of tools/train.py, one of tools/test.py and one that measures the model. A
run that fails is reported with its cause and its log and stops no other; called again, the tool
does only what is missing, and an interrupted training goes on. The work folder gets results.md,
<study>.csv (every seed) and, where anything can be drawn, <study>.png. The study ``diffusion``
needs sentences and weights of a trained blip_synth beside its data: distil_captions.py --num 10
--closest --weights.
"""
import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import described, output_folder

ROOT = Path(__file__).resolve().parents[2]
#: Rows of the comparisons on the built-in dataset, by their names.
STUDIES = {
    'compare': (
        'blip_synth', 'blip_resampler_synth', 'chg2cap_synth', 'rsiccformer_synth', 'kdrscc_synth',
        'compare_attention_synth', 'compare_karras_synth', 'compare_prefix_gpt_synth',
        'changeclip_caption_synth', 'changeclip_rn50_synth', 'fcsiam_diff_synth',
        'btc_random_synth', 'bit_synth', 'semantic_synth'),
    'diffusion': (
        'blip_synth', 'kdrscc_distilled_synth', 'kdrscc_masked_distilled_synth',
        'kdrscc_masked_student_synth'),
}


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='*', metavar='CONFIG',
                        help=f'config files or names ({" ".join(STUDIES["compare"])})')
    parser.add_argument('--study', choices=tuple(STUDIES), default='compare',
                        help='which table it becomes, and which configs without CONFIG; diffusion: '
                        f'{" ".join(STUDIES["diffusion"])} (%(default)s)')
    length = parser.add_mutually_exclusive_group()
    length.add_argument('--steps', type=int, help='optimiser steps of every training')
    length.add_argument('--minutes', type=float, help='length of every training; the steps that '
                        'fit in are measured once for each config (4)')
    parser.add_argument('--seeds', type=int, default=3, help='trainings of each (%(default)s)')
    parser.add_argument('--batch-size', type=int, help="pairs a step (each config's own)")
    parser.add_argument('--jobs', type=int, default=1, help='runs side by side (%(default)s)')
    parser.add_argument('--threads', type=int, help='CPU threads of each (the cores, divided)')
    parser.add_argument('--gpus', nargs='+', default=(), metavar='N',
                        help='CUDA devices, one run at a time on each, in place of --jobs')
    parser.add_argument('--amp', action='store_true', help='train and test in reduced precision')
    parser.add_argument('--data-root', help='folder of the datasets; sets RSCC_DATA')
    parser.add_argument('--work-dir', type=output_folder,
                        help='gets a folder for every run (work_dirs/<study>)')
    parser.add_argument('--runs', metavar='CSV', help='compare.csv of an earlier day or another '
                        'machine: what is done in it is not done again, with its steps')
    parser.add_argument('--report-only', action='store_true',
                        help='train nothing: table and drawing from the result files')
    parser.add_argument('--write', action='store_true', help='write the table into the docs')
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='their folder (docs)')
    args = parser.parse_args(arguments)
    args.work_dir = args.work_dir or f'work_dirs/{args.study}'
    return args


def train_all(args: argparse.Namespace) -> None:
    """Do what is missing of the comparison."""
    import datetime
    from dataclasses import asdict, replace

    import torch

    from tools.benchmark.compared_runs import Study, run_study
    from tools.benchmark.compared_tables import read_runs
    from tools.benchmark.machine import describe_machine
    from tools.benchmark.tables import command_line
    if args.data_root is not None:
        os.environ['RSCC_DATA'] = args.data_root
    jobs = len(args.gpus) or args.jobs
    threads = args.threads or max(1, (os.cpu_count() or 1) // max(jobs, 1))
    minutes = 4.0 if args.steps is None and args.minutes is None else args.minutes
    study = Study(args.configs or STUDIES[args.study], Path(args.work_dir), args.seeds, args.steps,
                  minutes, args.batch_size, args.jobs, threads, args.gpus, args.amp,
                  args.data_root, read_runs(args.runs) if args.runs else {}, args.study)
    machine = describe_machine('cuda' if torch.cuda.is_available() else 'cpu')
    run_study(study, asdict(replace(machine, threads=threads)), command_line(),
              datetime.date.today().isoformat())


def report(folder: Path, docs: Path | None, runs: str | None = None) -> int:
    """Print the table, write it with CSV and drawing, and return the number of missing runs.

    Args:
        folder: The work folder.
        docs: Folder of the documentation that gets them too; None for none.
        runs: CSV file of runs that were done elsewhere.
    """
    from rscc.utils import atomic_write
    from rscc.visualization.picture_files import save_small
    from tools.benchmark.compared_tables import (
        csv_name,
        read_runs,
        read_study,
        states,
        table_of,
        write_csv,
    )
    from tools.benchmark.tables import to_markdown, to_text, write_section
    plan, rows = read_study(folder, read_runs(runs) if runs else None)
    section, table = table_of(plan, rows), csv_name(plan)
    print(f'\n{to_text(section)}\n')
    picture = f'{plan["name"]}.png'
    written = [folder / 'results.md', write_csv(folder / table, rows, plan)]
    with atomic_write(written[0]) as file:
        file.write(to_markdown(section, 'en', picture) + '\n')
    if section.picture is not None:
        written.append(save_small(folder / picture, section.picture.image))
    if docs is not None:
        written += [*write_section(section, docs), write_csv(docs / 'en' / table, rows, plan)]
    print('written: ' + ', '.join(os.path.relpath(path) for path in written))
    for line in states(rows):
        print(f'not whole: {line}', file=sys.stderr)
    return sum(row.seeds - len(row.results) for row in rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison, or report on one."""
    args, interrupted = parse_args(arguments), False
    try:
        if not args.report_only:
            # Ended from outside, the tool ends its trainings first.
            before = signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                train_all(args)
            except KeyboardInterrupt:
                interrupted = True
                print('interrupted: what is done stays; the same command does the rest',
                      file=sys.stderr)
            finally:
                signal.signal(signal.SIGTERM, before)
        missing = report(Path(args.work_dir), args.docs if args.write else None, args.runs)
    except (OSError, ValueError, ImportError) as error:
        from tools.benchmark.compared_configs import ConfigsRefused
        print(f'error: {error}', file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ConfigsRefused) else 1) from error
    if missing:
        raise SystemExit(130 if interrupted else 1)


if __name__ == '__main__':
    main()
