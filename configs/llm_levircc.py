"""Qwen2.5-0.5B, or any other language model, as the decoder of LEVIR-CC's change captions."""
_base_ = [
    './_base_/models/llm.py',
    './_base_/datasets/levir_cc.py',
    './_base_/schedules/adamw_clipgpt.py',
    './_base_/runtime.py',
]
# Usual for adapters; resampler and projection start from random weights.
optim_wrapper = dict(optimizer=dict(lr=2e-4), clip_grad=dict(max_norm=1.0))
