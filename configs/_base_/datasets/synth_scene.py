"""Single images of the built-in dataset, captioned as scenes, at 128x128; both dates of a pair."""
cache = dict(size=(128, 128), where=None)
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='PickCaptions', mode='all'),  # the five sentences of an image share one encoding
    # Scene captions name no direction: every flip keeps them true.
    dict(type='FramesRandomFlip', direction='horizontal'),
    dict(type='FramesRandomFlip', direction='vertical'),
    dict(type='PackChangeInputs')
]
test_pipeline = [dict(type='LoadFrames'), dict(type='PackChangeInputs')]
# No worker processes: a cached sample takes a fraction of a millisecond, and the cores are needed.
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='SynthSceneDataset', data_root='synth', split='train', cache=cache,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='SynthSceneDataset', data_root='synth', split='val', cache=cache,
        pipeline=test_pipeline, test_mode=True))
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='SynthSceneDataset', data_root='synth', split='test', cache=cache,
        pipeline=test_pipeline, test_mode=True))
val_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
test_evaluator = [dict(type='CaptionMetric')]
