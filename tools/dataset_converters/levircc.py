"""Turn LEVIR-CC into the files of other code bases.

HDF5 + JSON: ``blip`` is the layout of erenduman2/rs-image-change-captioning, ``tutorial`` that of
the show-attend-tell tutorial (RSICCformer, PSNet, SEN). ``HDF5CaptionDataset`` reads both. For
other datasets: ``hdf5.py``.

``--word-encode`` numbers words and captions as KD-RSCC does, of any Karpathy-style file and without
its images: ``vocab.json``, ``{split}_caption_encoded.json`` and ``word_encoding.json``, which
``WordTokenizer`` reads.

Example::

    python tools/dataset_converters/levircc.py --root data/LEVIR-CC --out data/LEVIR-CC-hdf5
    python tools/dataset_converters/levircc.py --root data/LEVIR-CC --out hdf5 --variant tutorial
    python tools/dataset_converters/levircc.py --root data/LEVIR-CC --word-encode
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.levircc import main

if __name__ == '__main__':
    main()
