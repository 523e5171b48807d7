"""Runtime settings of captioning single images, which have no change flag."""
_base_ = './runtime.py'
default_hooks = dict(checkpoint=dict(save_best='caption/all/CIDEr'))
