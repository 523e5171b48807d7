"""DUBAI-CC, 50x50 pairs enlarged to 256x256; selection on val, test once on test."""
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='FramesResize', size=(256, 256)),
    # Its no-change sentences are free text (some thirty variants), so they stay.
    dict(type='PickCaptions', mode='one'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
test_pipeline = [
    dict(type='LoadFrames'),
    dict(type='FramesResize', size=(256, 256)),
    dict(type='PackChangeInputs')
]
data_root = 'DubaiCC500impair/datasetDubaiCCPublic'
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='DubaiCCDataset', data_root=data_root, split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='DubaiCCDataset', data_root=data_root, split='val', pipeline=test_pipeline,
        test_mode=True))
test_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='DubaiCCDataset', data_root=data_root, split='test', pipeline=test_pipeline,
        test_mode=True))
val_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
test_evaluator = [dict(type='CaptionMetric')]
