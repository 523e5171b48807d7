"""A small ChangeCLIP on the built-in dataset with random weights: minutes on two CPU cores."""
_base_ = [
    './_base_/models/changeclip_light.py',
    './_base_/datasets/synth.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
# Five kinds of change are one class here.
binary = dict(
    label_map={0: 0, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1},
    metainfo=dict(classes=('unchanged', 'changed'), palette=[[0, 0, 0], [255, 255, 255]]))
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='LoadChangeMask'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='drop'),
    dict(type='FramesRandomFlip', direction='vertical', captions='drop'),
    dict(type='FramesRandomRotate90', captions='drop'),
    dict(type='PackChangeInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **binary))
val_dataloader = dict(dataset=binary)
test_dataloader = dict(dataset=binary)
train_cfg = dict(max_epochs=4, val_interval=2)
val_evaluator = [dict(type='ChangeMetric')]
test_evaluator = [dict(type='ChangeMetric')]
default_hooks = dict(checkpoint=dict(save_best='change/F1_changed'))
