"""CLIP-GPT on RemoteCLIP with the MLP mapper on RSICD."""
_base_ = [
    './_base_/models/clipgpt_remoteclip.py',
    './_base_/datasets/rsicd.py',
    './_base_/schedules/adamw_clipgpt.py',
    './_base_/runtime_single.py',
]
