"""A tiny random Qwen2 that captions single images of the built-in dataset in Chinese."""
_base_ = [
    './_base_/models/llm_light.py',
    './_base_/datasets/synth_scene_cn.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime_single.py',
]
model = dict(
    fusion=dict(fusion=dict(_delete_=True, type='SingleFrame')),
    change_head=None,
    flag_head=None,
    caption_head=dict(tokenizer=dict(tokenizer_file='synth/tokenizer_zh.json', language='zh')))
train_cfg = dict(max_epochs=6, val_interval=2)
