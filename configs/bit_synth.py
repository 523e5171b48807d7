"""A small BIT on the built-in dataset: minutes on two CPU cores.

The encoder is that of blip_synth.py up to its third stage, which has no stride, as published.
"""
_base_ = [
    './_base_/models/bit.py',
    './_base_/datasets/synth_cd.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
# About 3 % of the pixels changed; a lighter class 0 keeps recall up.
model = dict(
    encoder=dict(
        channels_last=True,
        backbone=dict(base_channels=16, stem_channels=16, init_cfg=None)),
    fusion=dict(channels=64),
    change_head=dict(loss_decode=dict(class_weight=[0.3, 1.0])))
train_cfg = dict(max_epochs=4, val_interval=2)
default_hooks = dict(checkpoint=dict(save_best='change/F1_changed'))
