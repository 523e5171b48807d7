"""Collect one run's scores, speed and wall time in ``metrics.json`` and print the short table.

Example:
    python tools/misc/quickstart_metrics.py work_dirs/quickstart
"""
import argparse
import json
from pathlib import Path

from rscc.utils import read_json, write_json

# Key, what it says in words, and the key of the trivial answer it has to beat.
SUMMARY = [
    ('caption/changed/CIDEr', 'CIDEr, changed pairs', 'baseline/changed/CIDEr'),
    ('caption/changed/Bleu_4', 'BLEU-4, changed pairs', 'baseline/changed/Bleu_4'),
    ('caption/all/CIDEr', 'CIDEr, all pairs', 'baseline/all/CIDEr'),
    ('caption/flag_accuracy', 'changed or not: accuracy', None),
    ('change/F1_changed', 'change map: F1 of changed pixels', None),
    ('train/pairs_per_s', 'training speed, pairs/s', None),
    ('wall_s', 'wall time, s', None),
]


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


def print_summary(metrics: dict[str, float], work_dir: Path) -> None:
    """Print the chosen rows, the trivial answer beside the model's."""
    print(f'\n{"":34}{"model":>10}{"trivial":>10}')
    for key, words, rival in SUMMARY:
        if key in metrics:
            beside = f'{metrics[rival]:10.1f}' if rival in metrics else ''
            digits = 3 if 'flag' in key or key.startswith('change/') else 1
            print(f'{words:34}{metrics[key]:10.{digits}f}{beside}')
    print('trivial: told which pairs changed, it says one constant sentence for all of them\n')
    print(f'all scores  {work_dir / "metrics.json"}')
    print(f'report      {work_dir / "report.html"}  (open it in a browser)')


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', type=Path, help='folder of the run')
    parser.add_argument('--seconds', type=float, default=0.0,
                        help='wall time of the calling script')
    parser.add_argument('--find-checkpoint', action='store_true',
                        help='print the best checkpoint and do nothing else')
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


if __name__ == '__main__':
    main()
