"""Make training data of two large georeferenced images and polygons.

The scene is cut into tiles with change labels; whole blocks of tiles go to train, val or test, with
a distance between the splits. A run that was ended is continued by the same command.

Example::

    python tools/dataset_converters/scene_pairs.py --from 2019.tif --to 2024.tif \
        --polygons changes.gpkg --class-column kind --resolution 0.5 --out data/my_town
    python tools/dataset_converters/scene_pairs.py --from tiles_2019 --to tiles_2024 \
        --polygons-from buildings_2019.shp --polygons-to buildings_2024.shp \
        --captions sentences.csv --block 1000 --out data/my_town
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.scene_pairs import main

if __name__ == '__main__':
    main()
