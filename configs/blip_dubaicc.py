"""BLIP change captioning on DUBAI-CC (50x50 Landsat pairs, 300 for training)."""
_base_ = [
    './_base_/models/blip_base.py',
    './_base_/datasets/dubai_cc.py',
    './_base_/schedules/adamw_10e.py',
    './_base_/runtime.py',
]
