"""CLIP-GPT on RemoteCLIP with the MLP mapper on Sydney-captions."""
_base_ = [
    './_base_/models/clipgpt_remoteclip.py',
    './_base_/datasets/sydney.py',
    './_base_/schedules/adamw_clipgpt.py',
    './_base_/runtime_single.py',
]
