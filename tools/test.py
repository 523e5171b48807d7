"""Test a checkpoint: a table, and on request predictions, pictures and an HTML report.

Example::

    python tools/test.py configs/blip_synth.py work_dirs/blip_synth/epoch_8.pth --show-dir shown
    python tools/test.py configs/kdrscc_synth.py work_dirs/kdrscc_synth/epoch_30.pth \
        --show-dir shown --cfg-options model.caption_head.decoding.return_trajectory=True

A checkpoint that does not fit the config is an error; ``--cfg-options strict_load=False`` loads
what fits.
"""
from rscc.commands.test import main

if __name__ == '__main__':
    main()
