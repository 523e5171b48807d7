"""A tiny CLIP-GPT on single images of the built-in dataset, in Chinese."""
_base_ = [
    './_base_/models/clipgpt_light.py',
    './_base_/datasets/synth_scene_cn.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime_single.py',
]
model = dict(caption_head=dict(tokenizer=dict(
    vocab_file='synth/vocab_scene_zh.json', language='zh')))
train_cfg = dict(max_epochs=6, val_interval=2)
