"""Write the vocabulary of a dataset's training captions, most frequent words first.

``WordTokenizer`` and the configs that use it read the file. With ``--byte-pairs`` it is a small
``tokenizer.json`` for ``PretrainedTokenizer``, which can write every text.

Example::

    python tools/dataset_converters/vocabulary.py --dataset ucm
    python tools/dataset_converters/vocabulary.py --dataset sydney_cn --min-count 2
    python tools/dataset_converters/vocabulary.py --dataset synth_change --byte-pairs 600
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.commands.data_files import vocabulary as main

if __name__ == '__main__':
    main()
