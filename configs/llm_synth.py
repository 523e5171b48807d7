"""A tiny random Qwen2 that captions pairs of the built-in dataset: minutes on two CPU cores."""
_base_ = [
    './_base_/models/llm_light.py',
    './_base_/datasets/synth.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
val_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
test_evaluator = [dict(type='CaptionMetric')]
