"""BTC's recipe: few augmentations, AdamW for 100 epochs, cosine to a thousandth of the rate."""
# A config merges them into its dataset and runtime: train_dataloader = {{_base_.btc_loader}}.
btc_pipeline = [
    dict(type='LoadFrames'),
    dict(type='LoadChangeMask'),
    dict(type='FramesRandomCrop', size=(256, 256)),  # leaves tiles of 256 as they are
    dict(type='FramesRandomFlip', direction='vertical', prob=0.3, captions='drop'),
    dict(type='FramesRandomFlip', direction='horizontal', prob=0.3, captions='drop'),
    dict(type='FramesRandomRotate', max_angle=90, prob=0.3, captions='drop'),
    dict(type='PackChangeInputs')
]
btc_loader = dict(
    batch_size=32,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=btc_pipeline))
btc_hooks = dict(checkpoint=dict(interval=5, save_best='change/F1_changed'))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# One rate for encoder and new parts, and all weights decay. Published runs: --amp on a GPU.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4, fused=True))
param_scheduler = dict(type='WarmupCosineLR', by_epoch=False, warmup=0, floor=1e-3)
auto_scale_lr = dict(enable=False, base_batch_size=32)
