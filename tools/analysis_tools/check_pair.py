"""Check whether two dates of a scene fit each other and the weights, before any model runs.

Examples::

    python tools/analysis_tools/check_pair.py before.tif after.tif
    python tools/analysis_tools/check_pair.py before.tif after.tif --ckpt work_dirs/x/epoch_8.pth
    python tools/analysis_tools/check_pair.py 2019/ 2024/ --bands 4 3 2 --scale 0 3000 \
        --json check.json
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.check import main

if __name__ == '__main__':
    main()
