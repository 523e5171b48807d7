"""AdamW at a constant learning rate, as KD-RSCC was trained.

The published training had no last step and no validation, and its weight decay had no effect.
"""
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=5e-5, betas=(0.9, 0.95), eps=1e-8, weight_decay=1e-3, fused=True),
    clip_grad=dict(max_norm=1.0),
    constructor='GroupedConstructor')
param_scheduler = None
auto_scale_lr = dict(enable=False, base_batch_size=64)
