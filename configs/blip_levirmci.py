"""BLIP on LEVIR-MCI: one model for sentences and masks of changed roads and buildings."""
_base_ = [
    './_base_/models/blip_base.py',
    './_base_/datasets/levir_mci.py',
    './_base_/schedules/adamw_10e.py',
    './_base_/runtime.py',
]
model = dict(
    encoder=dict(out_layers=(3, 6, 9, 12)),
    # Maps of stride 16, each from, to and difference of 768 channels, to strides 4, 8, 16, 32.
    neck=dict(type='SimpleFeaturePyramid', in_channels=2304, out_channels=256),
    change_head=dict(
        type='mmseg.FPNHead',
        in_channels=[256, 256, 256, 256],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=128,
        num_classes=3,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)))
