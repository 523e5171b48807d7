"""BTC (Swin-T) on CDD, which the paper does not have."""
_base_ = [
    './_base_/models/btc_swin.py',
    './_base_/datasets/cdd.py',
    './_base_/schedules/btc_100e.py',
    './_base_/runtime.py',
]
train_dataloader = {{_base_.btc_loader}}
default_hooks = {{_base_.btc_hooks}}
