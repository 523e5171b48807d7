"""Train a model.

Example::

    python tools/train.py configs/blip_synth.py --amp
    python tools/train.py configs/blip_synth.py --resume
"""
from rscc.commands.train import main

if __name__ == '__main__':
    main()
