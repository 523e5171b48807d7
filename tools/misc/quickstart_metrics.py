"""Collect one run's scores, speed and wall time in ``metrics.json`` and print the short table.

Examples::

    python tools/misc/quickstart_metrics.py work_dirs/quickstart
    python tools/misc/quickstart_metrics.py work_dirs/quickstart --write-docs docs
"""
import argparse
import datetime
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import described
from rscc.utils import read_json, write_json

# Key of the score, its label in English and Chinese, decimal places, key of the trivial baseline.
SUMMARY = [
    ('caption/changed/CIDEr', ('CIDEr, changed pairs', 'CIDEr，有变化'), 1,
     'baseline/changed/CIDEr'),
    ('caption/changed/Bleu_4', ('BLEU-4, changed pairs', 'BLEU-4，有变化'), 1,
     'baseline/changed/Bleu_4'),
    ('caption/all/CIDEr', ('CIDEr, all pairs', 'CIDEr，全部'), 1, 'baseline/all/CIDEr'),
    ('caption/flag_accuracy', ('changed or not: accuracy', '有无变化的准确率'), 3, None),
    ('change/F1_changed', ('change map: F1 of changed pixels', '变化图：变化像素的 F1'), 3, None),
    ('train/pairs_per_s', ('training speed, pairs/s', '训练速度，对/秒'), 1, None),
    ('wall_s', ('wall time, s', '总耗时，秒'), 0, None),
]
BASELINE = ('baseline: knows which pairs changed and gives all of them the same sentence',
            '平凡基线：已知哪些影像对有变化，对它们一律输出同一句话')


def find_checkpoint(work_dir: Path) -> Path:
    """Return the best checkpoint by validation, else the last one.

    Raises:
        FileNotFoundError: If the folder holds neither.
    """
    best = sorted(work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
    if best:
        return best[-1]
    pointer = work_dir / 'last_checkpoint'
    if pointer.is_file() and Path(pointer.read_text().strip()).is_file():
        return Path(pointer.read_text().strip())
    raise FileNotFoundError(f"no best_*.pth and no last_checkpoint in '{work_dir}': "
                            'train first, with python tools/train.py ... --work-dir')


def training_speed(work_dir: Path) -> float:
    """Return training pairs a second, loading included, validation and saving not.

    ``ThroughputHook`` logs it; the last line of the last log speaks for the whole run.

    Raises:
        FileNotFoundError: If there is no training log.
    """
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime)
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines() if line]
    rates = [line['pairs_per_s'] for line in lines if 'pairs_per_s' in line]
    if not rates:
        raise FileNotFoundError(f"no pairs_per_s in '{work_dir}/*/vis_data/scalars.json': "
                                'ThroughputHook of configs/_base_/runtime.py writes it')
    return rates[-1]


def wall_seconds(work_dir: Path, seconds: float) -> float:
    """Return the time of this call plus those of interrupted ones before it."""
    clock = work_dir / '.seconds'
    earlier = clock.read_text().split() if clock.is_file() else []
    return seconds + sum(float(item) for item in earlier)


def summary_rows(metrics: dict[str, float]) -> list[tuple[tuple[str, str], str, str]]:
    """Return label, the score of the model and that of the trivial baseline, where there is one."""
    rows = []
    for key, label, digits, rival in SUMMARY:
        if key in metrics:
            beside = f'{metrics[rival]:.{digits}f}' if rival in metrics else ''
            rows.append((label, f'{metrics[key]:.{digits}f}', beside))
    return rows


def print_summary(metrics: dict[str, float], work_dir: Path) -> None:
    """Print the chosen scores of the model next to those of the trivial baseline."""
    print(f'\n{"":34}{"model":>10}{"baseline":>10}')
    for (label, _), figure, beside in summary_rows(metrics):
        print(f'{label:34}{figure:>10}{beside:>10}'.rstrip())
    print(f'{BASELINE[0]}\n')
    print(f'all scores  {work_dir / "metrics.json"}')
    print(f'report      {work_dir / "report.html"}  (open it in a browser)')


def write_docs(metrics: dict[str, float], measured: Path, docs: Path) -> None:
    """Put the table into the benchmark pages; ``measured`` tells the day."""
    from tools.benchmark.machine import describe_machine
    from tools.benchmark.tables import Section, write_section
    date = datetime.date.fromtimestamp(measured.stat().st_mtime).isoformat()
    section = Section(
        name='quickstart', title=('configs/blip_synth.py on the test split',
                                  'configs/blip_synth.py，测试集'),
        columns=('', ('model', '模型'), ('baseline', '平凡基线')), rows=summary_rows(metrics),
        notes=[BASELINE], machine=describe_machine(), command='bash tools/quickstart.sh', date=date)
    for page in write_section(section, docs):
        print(f'written     {page}')


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=described(__doc__.splitlines()[0]))
    parser.add_argument('work_dir', type=Path, help='folder of the run')
    parser.add_argument('--seconds', type=float, default=0.0,
                        help='wall time of the calling script')
    parser.add_argument('--find-checkpoint', action='store_true',
                        help='print the best checkpoint and do nothing else')
    parser.add_argument('--write-docs', type=Path, metavar='DIR',
                        help='also write the table into the benchmark pages below DIR')
    args = parser.parse_args()
    if args.find_checkpoint:
        print(find_checkpoint(args.work_dir))
        return
    target = args.work_dir / 'metrics.json'
    if target.is_file():
        metrics = read_json(target)
    else:
        metrics = dict(read_json(args.work_dir / 'predictions.json')['metrics'])
        metrics['train/pairs_per_s'] = round(training_speed(args.work_dir), 2)
        metrics['wall_s'] = round(wall_seconds(args.work_dir, args.seconds), 1)
        write_json(target, metrics)
    print_summary(metrics, args.work_dir)
    if args.write_docs:
        write_docs(metrics, target, args.write_docs)


if __name__ == '__main__':
    main()
