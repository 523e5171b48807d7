"""A tiny CLIP-GPT on single images of the built-in dataset: minutes on two CPU cores."""
_base_ = [
    './_base_/models/clipgpt_light.py',
    './_base_/datasets/synth_scene.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime_single.py',
]
train_cfg = dict(max_epochs=6, val_interval=2)
