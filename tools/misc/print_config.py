"""Print a config as it is after inheritance and overrides.

Example::

    python tools/misc/print_config.py configs/blip_synth.py --cfg-options train_cfg.max_epochs=2
"""
from rscc.commands.configs import print_config as main

if __name__ == '__main__':
    main()
