"""Test a checkpoint: a table, and on request predictions, pictures and an HTML report.

Example::

    python tools/test.py configs/blip_synth.py work_dirs/blip_synth/epoch_8.pth --show-dir shown
    python tools/test.py configs/kdrscc_synth.py work_dirs/kdrscc_synth/epoch_30.pth \
        --show-dir shown --cfg-options model.caption_head.decoding.return_trajectory=True

A checkpoint that does not fit the config is an error; ``--cfg-options strict_load=False`` loads
what fits.
"""
import argparse
from pathlib import Path

from rscc.apis.command_line import add_shared_arguments, explained


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Test a checkpoint.')
    parser.add_argument('config', help='config file, e.g. configs/blip_synth.py')
    parser.add_argument('checkpoint', help='checkpoint file, e.g. work_dirs/blip_synth/epoch_8.pth')
    parser.add_argument('--out', metavar='FILE.json',
                        help='write all predictions with their scores; tools/scores.py reads them')
    parser.add_argument('--show-dir', metavar='DIR',
                        help='write masks, overlays, panels and report.html, which works offline; '
                        'and attention maps or denoising strips with --cfg-options '
                        'model.caption_head.decoding.return_attention=True or '
                        'model.caption_head.decoding.return_trajectory=True')
    parser.add_argument('--probabilities', action='store_true', help='with --show-dir: write '
                        'P(changed) as grey PNGs too; tools/dataset_converters/tiles.py merges '
                        'them')
    parser.add_argument('--tta', action='store_true',
                        help='average the change maps of flipped and rotated views')
    add_shared_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Test as the config says."""
    args = parse_args()
    if args.probabilities and not args.show_dir:
        raise SystemExit('error: --probabilities writes below --show-dir: name that folder too')
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import (
        build_runner,
        caption_metadata,
        check_data,
        draw_predictions,
        dump_predictions,
        finish,
        finish_pictures,
        load_config,
        use_amp,
        use_tta,
    )
    cfg = load_config(args, stages=('test',), checkpoint=args.checkpoint)
    if args.check:
        with explained():
            check_data(cfg, ('test',))
        return
    if args.tta:
        use_tta(cfg)
    if args.amp:
        use_amp(cfg)
    predictions = args.out
    if args.show_dir:
        predictions = predictions or str(Path(args.show_dir) / 'predictions.json')
        draw_predictions(cfg, args.show_dir, args.probabilities)
    if predictions:
        dump_predictions(cfg, predictions, args.checkpoint)
    cfg.load_from, cfg.resume = args.checkpoint, False
    with explained():
        runner = build_runner(cfg)
        metrics = runner.test()
        finish(metrics, cfg.work_dir, predictions, caption_metadata(runner, metrics))
        if args.show_dir:
            finish_pictures(runner, predictions, args.show_dir)


if __name__ == '__main__':
    main()
