"""AdamW for 10 epochs at ClipCap's learning rate: warm-up over 10 % of the steps, linear decay."""
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=10, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=2e-5, betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    constructor='GroupedConstructor')
# 5,000 steps, as published, are 71 % of a training on UCM and more than one on Sydney.
param_scheduler = dict(type='WarmupPolyLR', by_epoch=False, warmup=0.1, power=1.0)
auto_scale_lr = dict(enable=False, base_batch_size=16)
