"""The schedule of ``compare_*_synth.py``: 5 epochs, about four minutes on two CPU cores."""
_base_ = './adamw_synth.py'
train_cfg = dict(max_epochs=5, val_interval=5)
