"""BTC (Swin-T) on LEVIR-CD+, which the paper does not have."""
_base_ = [
    './_base_/models/btc_swin.py',
    './_base_/datasets/levir_cd_plus.py',
    './_base_/schedules/btc_100e.py',
    './_base_/runtime.py',
]
train_dataloader = dict(
    batch_size=32,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline={{_base_.btc_pipeline}}))
default_hooks = dict(checkpoint=dict(interval=5, save_best='change/F1_changed'))
