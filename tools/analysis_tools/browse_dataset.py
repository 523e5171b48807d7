r"""Draw what a model is given: samples of a config's dataset after its transforms, one PNG each.

Example::

    python tools/analysis_tools/browse_dataset.py configs/blip_synth.py --number 12 --out browse
    python tools/analysis_tools/browse_dataset.py configs/blip_synth.py --ids train_000003 \
        --visits 4
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.browse_dataset import main

if __name__ == '__main__':
    main()
