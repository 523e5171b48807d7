"""A small Show, Attend and Tell on single images of the built-in dataset, for a CPU."""
_base_ = [
    './_base_/models/sat_light.py',
    './_base_/datasets/synth_scene.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime_single.py',
]
train_cfg = dict(max_epochs=3, val_interval=1)
