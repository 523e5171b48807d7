"""Bi-SRNet's recipe: SGD with Nesterov momentum for 50 epochs, the rate falling by a power."""
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4))
param_scheduler = dict(type='WarmupPolyLR', by_epoch=False, warmup=0, power=1.5)
auto_scale_lr = dict(enable=False, base_batch_size=8)
