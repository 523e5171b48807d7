"""The test command: a checkpoint's scores, and on request predictions, pictures and a report.

``tools/test.py`` has examples.
"""
import argparse
from collections.abc import Sequence
from pathlib import Path

from rscc.apis.command_line import add_shared_arguments, explained, output_file, output_folder


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and test.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(prog=prog, description='Test a checkpoint.')
    add_arguments(parser)
    run(parser.parse_args(arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a test is told: config, checkpoint, what to write, what training takes too."""
    parser.add_argument('config', help='config file or name, e.g. configs/blip_synth.py')
    parser.add_argument('checkpoint', help='checkpoint file, e.g. work_dirs/blip_synth/epoch_8.pth')
    parser.add_argument('--out', type=output_file, metavar='FILE.json',
                        help='write all predictions with their scores; tools/scores.py reads them')
    parser.add_argument('--show-dir', type=output_folder, metavar='DIR',
                        help='write masks, overlays, panels and report.html, which works offline '
                        'and shows where the model looked; drawings of attention maps or '
                        'denoising trajectories too with --cfg-options '
                        'model.caption_head.decoding.return_attention=True or '
                        'model.caption_head.decoding.return_trajectory=True')
    parser.add_argument('--language', choices=('en', 'zh'), help='with --show-dir: language of '
                        "the report's interface (default: that of the captions)")
    parser.add_argument('--probabilities', action='store_true', help='with --show-dir: write '
                        'P(changed) as grey PNGs too; tools/dataset_converters/tiles.py merges '
                        'them')
    parser.add_argument('--tta', action='store_true',
                        help='average the change maps of flipped and rotated views')
    parser.add_argument('--no-swap', action='store_true',
                        help='do not answer changed pairs a second time with their dates exchanged '
                        '(the scores reversal/... need it)')
    add_shared_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Test as the config says.

    Args:
        args: Those of :func:`add_arguments`.

    Raises:
        SystemExit: With what is wrong with the arguments, the config or the data.
    """
    if args.probabilities and not args.show_dir:
        raise SystemExit('error: --probabilities writes below --show-dir: name that folder too')
    if args.language and not args.show_dir:
        raise SystemExit('error: --language is that of the report in --show-dir: name that folder '
                         'too')
    # Imported late: help and wrong arguments should not wait for torch.
    from mmengine.device import get_device

    from rscc.apis.launch import (
        build_runner,
        caption_metadata,
        check_all,
        draw_predictions,
        dump_predictions,
        finish,
        finish_pictures,
        load_config,
        unsplit,
        use_swap,
        use_tta,
    )
    from rscc.engine.distributed import leave_process_group, unwrapped
    from rscc.engine.precision import reduced_dtype
    from rscc.engine.prepacking import prepare_weights
    from rscc.models.data_preprocessor import normalisation_record
    cfg = load_config(args, stages=('test',), checkpoint=args.checkpoint)
    if args.check:
        with explained():
            check_all(cfg, ('test',), start=False)
        return
    if args.tta:
        use_tta(cfg)
    if not args.no_swap:
        use_swap(cfg)
    predictions = args.out
    if args.show_dir:
        predictions = predictions or str(Path(args.show_dir) / 'predictions.json')
        draw_predictions(cfg, args.show_dir, args.probabilities)
    if predictions:
        dump_predictions(cfg, predictions, args.checkpoint)
    unsplit(cfg)
    cfg.load_from, cfg.resume = args.checkpoint, False
    with explained():
        runner = build_runner(cfg)
        prepare_weights(unwrapped(runner.model), reduced_dtype(get_device()) if args.amp else None)
        metrics = runner.test()
        finish(metrics, cfg.work_dir, predictions, caption_metadata(runner, metrics),
               normalisation_record(unwrapped(runner.model)))
        if args.show_dir:
            finish_pictures(runner, predictions, args.show_dir, args.checkpoint, args.language)
    del runner  # it holds the processes' group
    leave_process_group()
