"""BLIP captioning of single images on RSICD: first stage of the published training."""
_base_ = [
    './_base_/models/blip_base.py',
    './_base_/datasets/rsicd.py',
    './_base_/schedules/adamw_10e.py',
    './_base_/runtime.py',
]
model = dict(fusion=dict(_delete_=True, type='SingleFrame'), flag_head=None)
# A single image has no change flag.
default_hooks = dict(checkpoint=dict(save_best='caption/all/CIDEr'))
