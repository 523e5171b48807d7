"""Adam at a constant rate for 200 epochs, as RSICCformer was trained.

An epoch visits every pair once, with one of its five sentences; the published 40 visit it five
times, once with each.
"""
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-4, fused=True),
    constructor='GroupedConstructor')
param_scheduler = None
auto_scale_lr = dict(enable=False, base_batch_size=32)
