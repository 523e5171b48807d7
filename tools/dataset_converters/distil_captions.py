"""Write a trained captioner's sentences for a dataset, so that another captioner learns from them.

Example::

    python tools/dataset_converters/distil_captions.py configs/blip_synth.py CKPT --num 10 --closest
    python tools/train.py configs/kdrscc_distilled_synth.py

The file lists for every sample of the split its best sentences with their scores: those that the
captioner finds likeliest, or with --closest those that are most like people's of that sample.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.distil import main

if __name__ == '__main__':
    main()
