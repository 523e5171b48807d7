"""A small ChangeCLIP on the built-in dataset with random weights: minutes on two CPU cores."""
_base_ = [
    './_base_/models/changeclip_light.py',
    './_base_/datasets/synth_cd.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
train_cfg = dict(max_epochs=4, val_interval=2)
default_hooks = dict(checkpoint=dict(save_best='change/F1_changed'))
