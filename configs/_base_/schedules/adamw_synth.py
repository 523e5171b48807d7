"""AdamW for training from random weights on the built-in dataset: one high learning rate."""
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=8, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02, fused=True),
    clip_grad=dict(max_norm=1.0),
    constructor='GroupedConstructor')
param_scheduler = dict(type='WarmupCosineLR', by_epoch=False, warmup=0.05, floor=0.01)
auto_scale_lr = dict(enable=False, base_batch_size=16)
