"""A small change captioner with masks on the built-in dataset: minutes on two CPU cores."""
_base_ = [
    './_base_/models/light_cnn.py',
    './_base_/datasets/synth.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
