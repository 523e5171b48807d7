"""Single images of the built-in dataset, both dates of a pair, at 128x128 with scene captions."""
_base_ = './synth.py'
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='PickCaptions', mode='all'),  # the five sentences of an image share one encoding
    # Scene captions name no direction: every flip keeps them true.
    dict(type='FramesRandomFlip', direction='horizontal'),
    dict(type='FramesRandomFlip', direction='vertical'),
    dict(type='PackChangeInputs')
]
test_pipeline = [dict(type='LoadFrames'), dict(type='PackChangeInputs')]
tested = dict(type='SynthSceneDataset', pipeline=test_pipeline)
train_dataloader = dict(dataset=dict(type='SynthSceneDataset', pipeline=train_pipeline))
val_dataloader = dict(dataset=tested)
test_dataloader = dict(dataset=tested)
val_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
test_evaluator = [dict(type='CaptionMetric')]
