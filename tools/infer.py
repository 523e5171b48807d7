"""Answer pairs, or single images, of any size with a trained model: mask, sentences, pictures.

Examples::

    python tools/infer.py --img-from before.png --img-to after.png --out out/
    python tools/infer.py work_dirs/blip_synth/epoch_20.pth --img-from before.tif \
        --img-to after.tif --out out/
    python tools/infer.py configs/blip_synth.py epoch_20.pth --img-from before/ --img-to after/
    python tools/infer.py epoch_20.pth --list pairs.txt --out out/ --per-window
    python tools/infer.py work_dirs/sat_synth/epoch_3.pth --img scene.png --attention --out out/
    python tools/infer.py epoch_20.pth --img-from a.tif --img-to b.tif --bands 4 3 2 --scale 0 3000
    python tools/infer.py work_dirs/kdrscc_synth/epoch_30.pth --img-from before.png \
        --img-to after.png --samples 8 --steps 10 --trajectory --out out/

Without a checkpoint, the model that comes with rscc answers (rscc-small, which reads pairs). An
image larger than those of the training is answered in windows; the line "answered" tells how.
"""
from rscc.commands.infer import main

if __name__ == '__main__':
    main()
