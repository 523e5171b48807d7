"""SECOND, 512x512 pairs with classes where something changed; selection on a fifth of train."""
loading = [dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='LoadSemanticMaps')]
train_pipeline = [
    *loading,
    dict(type='FramesRandomFlip', direction='horizontal', captions='drop'),
    dict(type='FramesRandomFlip', direction='vertical', captions='drop'),
    dict(type='FramesRandomRotate90', captions='drop'),
    dict(type='FramesExchangeDates', captions='drop'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
test_pipeline = [*loading, dict(type='PackChangeInputs')]
dataset = dict(type='SECONDDataset', data_root='SECOND')
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', pipeline=train_pipeline, **dataset))
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', pipeline=test_pipeline, test_mode=True, **dataset))
test_dataloader = dict(
    batch_size=8,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', pipeline=test_pipeline, test_mode=True, **dataset))
val_evaluator = [dict(type='ChangeMetric'), dict(type='FromToMetric', transitions=False)]
test_evaluator = [dict(type='ChangeMetric'), dict(type='FromToMetric')]
