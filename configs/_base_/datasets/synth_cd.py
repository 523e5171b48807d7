"""The built-in dataset at 128x128 for change detection: masks of one class, no sentences."""
_base_ = './synth.py'
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
val_evaluator = [dict(type='ChangeMetric')]
test_evaluator = [dict(type='ChangeMetric')]
