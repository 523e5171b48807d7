"""Serve a web page on which two images of a place are compared by a trained model.

Examples::

    python tools/demo.py
    python tools/demo.py work_dirs/blip_synth/epoch_20.pth --port 8000
    python tools/demo.py rscc-small work_dirs/sat_synth/epoch_3.pth
    python tools/demo.py --host 0.0.0.0 --max-megabytes 50 --max-megapixels 25

It needs the extra [demo]: pip install -e ".[demo]". Without a checkpoint, the model that comes with
rscc answers. A checkpoint that was trained on single images gets a tab of its own.
"""
from rscc.commands.demo import main

if __name__ == '__main__':
    main()
