r"""Convert a KD-RSCC checkpoint (a training ``.pth``, or its slim safetensors file).

Of a training file the averaged weights (``model_ema``) are taken, which sampling used. Sizes are
read from the tensors; words and the length of captions are in another file, which
``tools/dataset_converters/levircc.py --word-encode`` writes.

Example::

    python tools/model_converters/kdrscc_to_rscc.py LevirCC_00100000.pth converted.pth \
        --config configs/kdrscc_levircc.py --words data/LEVIR-CC/word_encoding.json
    python tools/test.py converted.py converted.pth
"""
from rscc.commands.convert import kdrscc as main

if __name__ == '__main__':
    main()
