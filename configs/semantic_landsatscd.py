"""What became what on Landsat-SCD: farmland, desert, building, water at 30 m."""
_base_ = [
    './_base_/models/semantic_r34.py',
    './_base_/datasets/landsat_scd.py',
    './_base_/schedules/sgd_50e.py',
    './_base_/runtime.py',
]
# Every label is a change of class, so a changed place never keeps its own.
model = dict(change_head=dict(num_semantic_classes=4, same_class=False))
default_hooks = dict(checkpoint=dict(interval=5, save_best='semantic/SeK_pooled'))
