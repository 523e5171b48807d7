"""Convert a released ChangeCLIP checkpoint, ResNet or ViT.

Beside the new checkpoint lies the config to test it with: ImageNet's colour statistics, the class
names of the earlier date for both, and (ViT) a class embedding added twice, as it was trained and
evaluated.

Example::

    python tools/model_converters/changeclip_to_rscc.py best_mIoU_iter_17000.pth converted.pth \
        --config configs/changeclip_rn50_levircd.py
    python tools/test.py converted.py converted.pth
"""
from rscc.commands.convert import changeclip as main

if __name__ == '__main__':
    main()
