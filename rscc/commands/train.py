"""The training command: a model trained as its config says.

``tools/train.py`` has examples.
"""
import argparse
from collections.abc import Sequence

from rscc.apis.command_line import add_shared_arguments, explained


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and train.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(prog=prog, description='Train a model.')
    add_arguments(parser)
    run(parser.parse_args(arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what training is told: config, what to resume, what testing takes too."""
    parser.add_argument('config', help='config file or name, e.g. configs/blip_synth.py')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CKPT',
                        help='continue from CKPT, or from the last good checkpoint of the work '
                        'folder; where there is none it starts as without --resume')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate with the total batch size '
                        '(needs auto_scale_lr.base_batch_size in the config)')
    add_shared_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Train as the config says.

    Args:
        args: Those of :func:`add_arguments`.

    Raises:
        SystemExit: With what is wrong with the arguments, the config or the data.
    """
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import build_runner, check_all, load_config
    cfg = load_config(args, stages=('train', 'val'))
    if args.check:
        from rscc.engine.start_checks import check_monitored_settings
        with explained():
            check_monitored_settings(cfg)
            check_all(cfg, ('train', 'val'), start=True)
        return
    if args.auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise SystemExit('error: --auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N) '
                             f'in {args.config}')
        cfg.auto_scale_lr.enable = True
    if args.resume == 'auto':
        cfg.resume = 'auto'  # the config's load_from is for a folder with nothing to continue
    elif args.resume is not None:
        cfg.resume, cfg.load_from = True, args.resume
    from rscc.engine.distributed import leave_process_group
    with explained():
        build_runner(cfg).train()
    leave_process_group()
