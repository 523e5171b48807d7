"""The small BTC detector from random weights: what the ImageNet weights of btc_synth are worth."""
_base_ = './btc_synth.py'
model = dict(encoder=dict(pretrained=None))
# The encoder has as much to learn as the rest.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={r'^encoder\.': dict(lr_mult=1.0)}))
