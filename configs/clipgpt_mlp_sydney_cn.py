"""CLIP-GPT with the MLP mapper on Sydney-captions in Chinese."""
_base_ = [
    './_base_/models/clipgpt_zh.py',
    './_base_/datasets/sydney_cn.py',
    './_base_/schedules/adamw_clipgpt.py',
    './_base_/runtime_single.py',
]
