"""CLIP-GPT on LEVIR-CC: patches of both dates and their difference become the prefix."""
_base_ = [
    './_base_/models/clipgpt.py',
    './_base_/datasets/levir_cc.py',
    './_base_/schedules/adamw_clipgpt.py',
    './_base_/runtime.py',
]
model = dict(
    fusion=dict(_delete_=True, type='DifferenceFusion', channels=512),
    caption_head=dict(
        source='tokens',
        mapper=dict(_delete_=True, type='TransformerMapper', num_layers=8, num_heads=8)))
