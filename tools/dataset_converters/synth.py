"""Make the built-in dataset: rendered pairs with change masks, English and Chinese captions.

    python tools/dataset_converters/synth.py --out data/synth --train 2000 --val 300 --test 300 \
        --seed 0 --jobs 2

Running it again finishes what a kill left, or does nothing.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.data_files import synth as main

if __name__ == '__main__':
    main()
