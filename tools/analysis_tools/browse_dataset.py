r"""Draw what a model is given: samples of a dataset after its transforms, or one under each.

Example::

    python tools/analysis_tools/browse_dataset.py configs/blip_synth.py --number 12 --out browse
    python tools/analysis_tools/browse_dataset.py configs/blip_synth.py --ids train_000003 \
        --visits 4
    python tools/analysis_tools/browse_dataset.py configs/blip_synth.py --split test \
        --ids test_000001 --transforms
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.browse_dataset import main

if __name__ == '__main__':
    main()
