"""The built-in dataset at 128x128 with the land cover of both dates; no sentences are read."""
_base_ = './synth.py'
loading = [dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='LoadSemanticMaps')]
train_pipeline = [
    *loading,
    dict(type='FramesRandomFlip', direction='horizontal', captions='drop'),
    dict(type='FramesRandomFlip', direction='vertical', captions='drop'),
    dict(type='FramesRandomRotate90', captions='drop'),
    dict(type='FramesExchangeDates', captions='drop'),
    dict(type='PackChangeInputs')
]
test_pipeline = [*loading, dict(type='PackChangeInputs')]
train_dataloader = dict(dataset=dict(semantic=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(semantic=True, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(semantic=True, pipeline=test_pipeline))
val_evaluator = [dict(type='ChangeMetric'), dict(type='FromToMetric', transitions=False)]
test_evaluator = [dict(type='ChangeMetric'), dict(type='FromToMetric')]
