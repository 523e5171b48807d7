"""CLIP-GPT on RemoteCLIP with the transformer mapper on RSICD."""
_base_ = [
    './_base_/models/clipgpt_remoteclip.py',
    './_base_/datasets/rsicd.py',
    './_base_/schedules/adamw_clipgpt.py',
    './_base_/runtime_single.py',
]
model = dict(caption_head=dict(mapper=dict(
    _delete_=True, type='TransformerMapper', num_layers=16, num_heads=16)))
