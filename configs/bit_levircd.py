"""BIT on LEVIR-CD, with the published recipe (Chen, Qi, Shi, TGRS 2021)."""
_base_ = [
    './_base_/models/bit.py',
    './_base_/datasets/levir_cd.py',
    './_base_/schedules/sgd_200e.py',
    './_base_/runtime.py',
]
# Flips, a change of scale, a crop and a blur: named in the paper, which gives no ranges.
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='LoadChangeMask'),
    dict(type='FramesRandomCrop', size=(256, 256), zoom=(1.0, 1.25)),
    dict(type='FramesRandomFlip', direction='horizontal', prob=0.5, captions='drop'),
    dict(type='FramesRandomFlip', direction='vertical', prob=0.5, captions='drop'),
    dict(type='FramesBlur', prob=0.5),
    dict(type='PackChangeInputs')
]
train_dataloader = dict(
    batch_size=8,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline))
default_hooks = dict(checkpoint=dict(save_best='change/F1_changed'))
