"""The built-in dataset at 128x128 for captions alone: no masks are read, none are scored."""
_base_ = './synth.py'
train_pipeline = [
    dict(type='LoadFrames'),
    dict(
        type='PickCaptions',
        mode='all',  # the five sentences of a pair share one encoding
        no_change=dict(en='the scene is the same as before', zh='场景和之前一样')),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='PackChangeInputs')
]
test_pipeline = [dict(type='LoadFrames'), dict(type='PackChangeInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
test_evaluator = [dict(type='CaptionMetric')]
