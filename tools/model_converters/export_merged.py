"""Write a trained model as one checkpoint that needs no published weights beside it.

Checkpoints of CLIP-GPT hold the trained part; the frozen language model comes from where it is
published. Here it is written into the file, low-rank adapters are merged into the weights that they
adapt, and adaptive attention (amht) is folded into plain attention; the answers stay the same.

Example::

    python tools/model_converters/export_merged.py configs/clipgpt_amht_ucm.py \
        work_dirs/clipgpt_amht_ucm/epoch_10.pth whole.pth
    python tools/infer.py whole.pth --img image.tif
"""
from rscc.commands.convert import merged as main

if __name__ == '__main__':
    main()
