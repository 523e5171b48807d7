"""RSICD, single 224x224 images with five captions; selection on val, test once on test."""
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='PickCaptions', mode='one'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
test_pipeline = [dict(type='LoadFrames'), dict(type='PackChangeInputs')]
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='RSICDDataset', data_root='RSICD', split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='RSICDDataset', data_root='RSICD', split='val', pipeline=test_pipeline,
        test_mode=True))
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='RSICDDataset', data_root='RSICD', split='test', pipeline=test_pipeline,
        test_mode=True))
val_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
test_evaluator = [dict(type='CaptionMetric')]
