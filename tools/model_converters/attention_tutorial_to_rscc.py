r"""Convert a checkpoint of the PyTorch tutorial on Show, Attend and Tell.

github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning pickles whole modules. They are read
without running any of their code; the decoder's ``state_dict()``, or a dict of ``decoder`` and
``encoder``, does as well. A decoder alone takes the encoder's published weights that the config
names. Sizes are read from the tensors; the words are in another file, ``WORDMAP_*.json``.

Example::

    python tools/model_converters/attention_tutorial_to_rscc.py \
        BEST_checkpoint_ucm_5_cap_per_img_5_min_word_freq.pth.tar converted.pth \
        --config configs/sat_r101_ucm.py \
        --words WORDMAP_ucm_5_cap_per_img_5_min_word_freq.json
    python tools/test.py converted.py converted.pth
"""
from rscc.commands.convert import sat as main

if __name__ == '__main__':
    main()
