"""Show, Attend and Tell over a ResNet-50 on UCM-captions."""
_base_ = [
    './_base_/models/sat.py',
    './_base_/datasets/ucm.py',
    './_base_/schedules/adam_sat.py',
    './_base_/runtime_single.py',
]
model = dict(caption_head=dict(tokenizer=dict(
    vocab_file='UCM_captions/vocab_en.json')))
