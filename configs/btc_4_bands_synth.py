"""A small BTC detector on the built-in dataset with near infrared: red, green, blue and B8."""
_base_ = [
    './_base_/models/btc_light.py',
    './_base_/datasets/synth_bands.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
# Filters of the further band begin as the mean of those of the colours.
model = dict(encoder=dict(bands=4, band_rule='mean'))
train_cfg = dict(max_epochs=2, val_interval=1)
# Pretrained weights move slower than the new parts.
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(custom_keys={r'^encoder\.': dict(lr_mult=0.3)}))
default_hooks = dict(checkpoint=dict(save_best='change/F1_changed'))
