"""Print a config as it is after inheritance and overrides.

Example::

    python tools/misc/print_config.py configs/blip_synth.py --cfg-options train_cfg.max_epochs=2
"""
import argparse

from rscc.apis.command_line import add_config_options, explained


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Print a config with everything inherited.')
    parser.add_argument('config', help='config file, e.g. configs/blip_synth.py')
    parser.add_argument('--check', action='store_true',
                        help='also look up every type, keyword and path; ends with "# ok"')
    parser.add_argument('--data-root', help='folder of the datasets; sets RSCC_DATA first')
    add_config_options(parser)
    return parser.parse_args()


def main() -> None:
    """Print the config, after the check if asked for."""
    args = parse_args()
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import read_config, set_data_root
    from rscc.config.check import check_config
    with explained():
        set_data_root(args.data_root)
        cfg = read_config(args.config)
        if args.check:
            check_config(cfg, overrides=args.cfg_options)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    print(cfg.pretty_text + ('# ok' if args.check else ''))


if __name__ == '__main__':
    main()
