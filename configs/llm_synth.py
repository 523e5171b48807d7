"""A tiny random Qwen2 that captions pairs of the built-in dataset: minutes on two CPU cores."""
_base_ = [
    './_base_/models/llm_light.py',
    './_base_/datasets/synth.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
train_cfg = dict(max_epochs=10, val_interval=5)
