"""AdamW by iterations: 1,500 steps of warm-up, then a straight line to zero."""
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20000, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    # Norms and biases do not decay. The published runs decayed CLIP's; decay_vectors=True does.
    constructor='GroupedConstructor')
param_scheduler = dict(type='WarmupPolyLR', by_epoch=False, warmup=1500, power=1.0)
auto_scale_lr = dict(enable=False, base_batch_size=40)
