"""What became what on SECOND: six classes, drawn only where something changed."""
_base_ = [
    './_base_/models/semantic_r34.py',
    './_base_/datasets/second.py',
    './_base_/schedules/sgd_50e.py',
    './_base_/runtime.py',
]
default_hooks = dict(checkpoint=dict(interval=5, save_best='semantic/SeK_pooled'))
