"""The model that comes with rscc: about an hour on two CPU cores, one process a core.

RSCC_TRAIN=... bash tools/dist_train.sh configs/rscc_small.py 2
"""
_base_ = [
    './_base_/models/rscc_small.py',
    './_base_/datasets/rscc_small.py',
    './_base_/runtime_iter.py',
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4000, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.98), weight_decay=0.02, fused=True),
    clip_grad=dict(max_norm=1.0),
    constructor='GroupedConstructor',
    # Pretrained weights move slower than the new parts.
    paramwise_cfg=dict(custom_keys={r'^encoder\.': dict(lr_mult=0.4)}))
param_scheduler = dict(type='WarmupCosineLR', by_epoch=False, warmup=0.05, floor=0.01)
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=500, save_best='change/F1_changed'))
custom_hooks = [dict(type='EMAHook', ema_type='InversePowerEMA', power=0.75, maximum=0.999)]
