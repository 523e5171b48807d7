"""A tiny random Qwen2 that captions single images of the built-in dataset: minutes on a CPU."""
_base_ = [
    './_base_/models/llm_light.py',
    './_base_/datasets/synth_scene.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime_single.py',
]
model = dict(
    fusion=dict(fusion=dict(_delete_=True, type='SingleFrame')),
    change_head=None,
    flag_head=None)
train_cfg = dict(max_epochs=6, val_interval=2)
