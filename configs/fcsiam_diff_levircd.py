"""Siamese U-Net with absolute differences (FC-Siam-diff) on LEVIR-CD, in Open-CD's schedule."""
_base_ = [
    './_base_/models/fcsiam.py',
    './_base_/datasets/levir_cd.py',
    './_base_/schedules/adamw_poly.py',
    './_base_/runtime_iter.py',
]
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='LoadChangeMask'),
    dict(type='FramesRandomCrop', size=(256, 256)),
    dict(type='FramesRandomFlip', direction='horizontal', prob=0.5, captions='drop'),
    dict(type='FramesRandomFlip', direction='vertical', prob=0.5, captions='drop'),
    dict(type='PackChangeInputs')
]
train_dataloader = dict(batch_size=8, num_workers=4, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_iters=40000, val_interval=4000)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.05),
    paramwise_cfg=None)  # that of the block is CLIP's
default_hooks = dict(checkpoint=dict(interval=4000))
auto_scale_lr = dict(base_batch_size=8)
