"""What became what on HRSCD: land cover of both dates and changes of the Urban Atlas."""
_base_ = [
    './_base_/models/semantic_r34.py',
    './_base_/datasets/hrscd.py',
    './_base_/schedules/sgd_50e.py',
    './_base_/runtime.py',
]
model = dict(change_head=dict(num_semantic_classes=5))
default_hooks = dict(checkpoint=dict(interval=5, save_best='semantic/SeK_pooled'))
