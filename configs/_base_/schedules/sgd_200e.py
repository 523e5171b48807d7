"""SGD with a heavy momentum for 200 epochs, the rate falling in a line to zero, as for BIT."""
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# All weights decay, as published.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.99, weight_decay=5e-4))
param_scheduler = dict(type='WarmupPolyLR', by_epoch=False, warmup=0, power=1.0)
auto_scale_lr = dict(enable=False, base_batch_size=8)
