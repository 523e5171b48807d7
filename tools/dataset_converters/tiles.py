"""Cut large image pairs into tiles, and merge the maps of tiles into maps of the whole images.

Works through bands of rows, so the images need not fit into memory.

Example::

    python tools/dataset_converters/tiles.py cut data/LEVIR-CD --out data/LEVIR-CD/cut_data
    python tools/dataset_converters/tiles.py cut --from before.tif --to after.tif \
        --label change.tif --shares 0.8 0.1 0.1 --out data/WHUCD/cut_data
    python tools/dataset_converters/tiles.py merge show/probabilities \
        --tiles data/LEVIR-CD/cut_data --label data/LEVIR-CD/test/label --out merged
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.tiles import main

if __name__ == '__main__':
    main()
