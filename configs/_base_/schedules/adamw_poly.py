"""AdamW by iterations: warm-up over 1,500 steps, then linear decay to zero."""
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20000, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    # Norms, biases and tables of positions do not decay; in the published runs CLIP's did.
    constructor='GroupedConstructor',
    paramwise_cfg=dict(custom_keys={
        r'positional_embedding|relative_position_bias_table|contexts$': dict(decay_mult=0.0)}))
param_scheduler = dict(type='WarmupPolyLR', by_epoch=False, warmup=1500, power=1.0)
auto_scale_lr = dict(enable=False, base_batch_size=40)
