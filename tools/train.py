"""Train a model.

Example::

    python tools/train.py configs/blip_synth.py --amp
    python tools/train.py configs/blip_synth.py --resume
"""
import argparse

from rscc.apis.command_line import add_shared_arguments, explained


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train a model.')
    parser.add_argument('config', help='config file, e.g. configs/blip_synth.py')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CKPT',
                        help='continue from CKPT, or from the last good checkpoint of the work '
                        'folder; starts fresh where there is none')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate with the total batch size '
                        '(needs auto_scale_lr.base_batch_size in the config)')
    add_shared_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Train as the config says."""
    args = parse_args()
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import build_runner, check_data, load_config, use_amp
    cfg = load_config(args, stages=('train', 'val'))
    if args.check:
        with explained():
            check_data(cfg, ('train', 'val'))
        return
    if args.amp:
        use_amp(cfg)
    if args.auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise SystemExit('error: --auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N) '
                             f'in {args.config}')
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    with explained():
        build_runner(cfg).train()


if __name__ == '__main__':
    main()
