"""Publish a trained model: one file with its config, a card, a STAC record, the log.

Optimizer, paths and data are left out, and of averaged weights the trained ones beside them. The
file is loaded again and must answer rendered pairs as the checkpoint does.

Examples::

    python tools/model_converters/publish.py configs/blip_synth.py \
        work_dirs/blip_synth/epoch_20.pth --name my-model --out my_model --licence CC-BY-SA-4.0
    python tools/infer.py my_model --img-from before.png --img-to after.png
"""
from rscc.commands.convert import published as main

if __name__ == '__main__':
    main()
