"""Adam for 30 epochs at the tutorial's learning rates, gradients clipped by value, cosine decay."""
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=4e-4, fused=True),
    clip_grad=dict(type='value', clip_value=5.0),
    constructor='GroupedConstructor')
param_scheduler = dict(type='WarmupCosineLR', by_epoch=False, warmup=0.0, floor=0.01)
auto_scale_lr = dict(enable=False, base_batch_size=32)
