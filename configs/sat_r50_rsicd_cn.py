"""Show, Attend and Tell over a ResNet-50 on RSICD in Chinese."""
_base_ = [
    './_base_/models/sat.py',
    './_base_/datasets/rsicd_cn.py',
    './_base_/schedules/adam_sat.py',
    './_base_/runtime_single.py',
]
model = dict(caption_head=dict(tokenizer=dict(
    vocab_file='RSICD/vocab_zh.json', language='zh')))
