"""What became what on the built-in dataset: land cover of both dates and the change between them.

A folder made before there was land cover gets it by the command that made it.
"""
_base_ = [
    './_base_/models/semantic_light.py',
    './_base_/datasets/synth_semantic.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
# Hardly any change of this dataset stays within a class.
model = dict(change_head=dict(same_class=False))
train_cfg = dict(max_epochs=5, val_interval=1)
default_hooks = dict(checkpoint=dict(save_best='semantic/SeK_pooled'))
