"""Set the thresholds of a trained model on held-back data: of its change map, and of its flag.

What is found is added to the model's own offsets, in a copy of the checkpoint, so that every route
(testing, one pair, a scene, ONNX) answers by it. Use data that did not train the model and will not
test it: the validation data of the config, unless told otherwise.

Examples::

    python tools/analysis_tools/set_thresholds.py configs/rscc_small.py work_dirs/x/best.pth \
        --out work_dirs/x/set.pth
    python tools/analysis_tools/set_thresholds.py configs/btc_synth.py best.pth --dry-run
"""
import argparse
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import add_shared_arguments, explained, output_file


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Set thresholds on validation data.')
    parser.add_argument('config', help='config file or name')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', type=output_file, metavar='CKPT',
                        help='the copy with the new offsets')
    parser.add_argument('--most-false-area', type=float, default=1.0, metavar='SHARE',
                        help='of the pixels of unchanged pairs that may be called changed, 0.01 '
                        'for instance (default: no limit)')
    parser.add_argument('--offset', type=float, metavar='LOGIT', help='set this offset of '
                        '"unchanged" and none that is found, chosen on other data say')
    parser.add_argument('--dry-run', action='store_true', help='only say what would be set')
    add_shared_arguments(parser)
    args = parser.parse_args(arguments)
    if bool(args.out) == args.dry_run:
        parser.error('give --out CKPT for the copy, or --dry-run for none')
    return args


def measure(args: argparse.Namespace) -> tuple[dict[str, float], Any]:
    """Return what the metric found on the validation data, and the model."""
    import torch

    from rscc.apis.launch import build_runner, load_config
    from rscc.engine.distributed import unwrapped
    from rscc.models.change_heads.base import as_change_head
    cfg = load_config(args, stages=('val',), checkpoint=args.checkpoint)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = [dict(type='OperatingPointMetric', most_false_area=args.most_false_area)]
    cfg.test_cfg = dict(type='TestLoop')
    cfg.load_from, cfg.resume = args.checkpoint, False
    if cfg.model.get('caption_head'):
        # Sentences would take most of the time and have no part in this: one word of each will do.
        cfg.model.caption_head.decoding = dict(max_tokens=1)
    runner = build_runner(cfg)
    found, model = runner.test(), unwrapped(runner.model)
    if args.offset is not None:
        found['point/threshold'] = args.offset
        for name in ('point/F1_best', 'point/false_area'):  # of another threshold
            found.pop(name, None)
    if model.guidance is not None and 'point/threshold' in found:
        # The flag is told of the map: its calibration is that behind the map's new offset.
        head = as_change_head(model.change_head)
        with torch.no_grad():
            move_threshold(head, head.classifier.bias, found['point/threshold'])
        found |= {name: value for name, value in runner.test().items() if '/flag_' in name}
    return found, model


def move_threshold(head: Any, bias: Any, threshold: float) -> None:
    """Add an offset of "unchanged" to a bias of the classifier of a change head, in place."""
    if len(bias) > 1:
        bias[0] += threshold
        return
    # A single logit is compared with the head's own threshold, 0.5 unless it has one.
    own = 0.5 if head.threshold is None else head.threshold
    bias -= threshold - math.log(own / (1 - own))


def fold(state: dict[str, Any], model: Any, found: dict[str, float]) -> list[str]:
    """Add what was found to the offsets in a state dict, and say what was done."""
    from rscc.models.change_heads.base import as_change_head
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    told = []
    if 'point/threshold' in found:
        head, threshold = as_change_head(model.change_head), found['point/threshold']
        move_threshold(head, state[names[id(head.classifier.bias)]], threshold)
        told.append(f'change map   offset of "unchanged" {threshold:+.3f}: ' + (
            'as asked' if 'point/F1_best' not in found else
            f'F1_changed {found["point/F1_trained"]:.4f} -> {found["point/F1_best"]:.4f}, false '
            f'area {found["point/false_area"]:.2%}'))
    if 'point/flag_slope' in found:
        slope, offset = found['point/flag_slope'], found['point/flag_offset']
        last = model.flag_head.classifier[-1]
        state[names[id(last.weight)]] *= slope
        bias = state[names[id(last.bias)]]
        bias.mul_(slope).add_(offset)
        told.append(f'change flag  logit x {slope:.3f} {offset:+.3f}: balanced accuracy '
                    f'{found["point/flag_balanced_accuracy"]:.4f}')
    return told or ['nothing to set: no changed and unchanged pixels, and no flags of both kinds']


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the copy."""
    args = parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    import torch

    from rscc.engine.checkpoint import read_checkpoint, with_metadata
    from rscc.models.data_preprocessor import normalisation_record
    from rscc.utils.files import atomic_path
    with explained():
        found, model = measure(args)
        checkpoint = with_metadata(read_checkpoint(args.checkpoint))
        told = fold(checkpoint['state_dict'], model, found)
        # The normalisation that was used here belongs to the weights from now on.
        checkpoint['meta'] = {**normalisation_record(model), **checkpoint['meta'],
                              'operating_point': {name.partition('/')[2]: value
                                                  for name, value in found.items()}}
        if args.out:
            with atomic_path(args.out) as path:
                torch.save(checkpoint, path)
            told.append(f'written      {args.out}')
    print('\n'.join(told))


if __name__ == '__main__':
    main()
