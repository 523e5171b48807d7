"""Write path lists (train.txt, val.txt, test.txt) of a change detection dataset.

Lines read ``from  to  label``, two blanks between, as ChangeCLIP's lists do. Files are matched by
name.

Example::

    python tools/general/write_path.py data/SYSU-CD --from time1 --to time2
    python tools/general/write_path.py scenes --label none --relative --out lists
    python tools/general/write_path.py data/LEVIR_CD_PLUS/cut_data --hold-out 0.1
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.data_files import write_path as main

if __name__ == '__main__':
    main()
