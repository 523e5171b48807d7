"""A small Show, Attend and Tell on single images of the built-in dataset, in Chinese."""
_base_ = [
    './_base_/models/sat_light.py',
    './_base_/datasets/synth_scene_cn.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime_single.py',
]
model = dict(caption_head=dict(tokenizer=dict(
    vocab_file='synth/vocab_scene_zh.json', language='zh')))
train_cfg = dict(max_epochs=3, val_interval=1)
