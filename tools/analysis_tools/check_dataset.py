"""Check a dataset: what is wrong with files, images, masks and captions, and what is in it.

Examples::

    python tools/analysis_tools/check_dataset.py data/LEVIR-MCI-dataset --html check.html
    python tools/analysis_tools/check_dataset.py configs/blip_levircc.py --write-clean clean.txt
    python tools/analysis_tools/check_dataset.py ucm_cn --language zh --json check.json
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.check_dataset import main

if __name__ == '__main__':
    main()
