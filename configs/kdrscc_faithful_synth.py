"""The published KD-RSCC in a small size on the built-in dataset; kdrscc_synth.py improves it."""
_base_ = [
    './_base_/models/kdrscc_light.py',
    './_base_/datasets/synth.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=3e-3))
train_cfg = dict(max_epochs=14, val_interval=7)
custom_hooks = [dict(type='EMAHook', ema_type='InversePowerEMA', power=0.75, maximum=0.9999)]
