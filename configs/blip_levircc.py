"""BLIP change captioning on LEVIR-CC: a pair of images in, a sentence out."""
_base_ = [
    './_base_/models/blip_base.py',
    './_base_/datasets/levir_cc.py',
    './_base_/schedules/adamw_10e.py',
    './_base_/runtime.py',
]
