"""AdamW for 10 epochs: warm-up over 5 % of the steps, then cosine decay."""
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=10, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=5e-5, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
    # The pretrained encoder moves ten times slower than the new parts; norms, biases do not decay.
    constructor='GroupedConstructor',
    paramwise_cfg=dict(custom_keys={r'^encoder\.': dict(lr_mult=0.1)}))
param_scheduler = dict(type='WarmupCosineLR', by_epoch=False, warmup=0.05, floor=0.01)
auto_scale_lr = dict(enable=False, base_batch_size=64)
