"""SECOND, 512x512 pairs with class maps of both dates; selection on held-out training pairs."""
loading = [
    dict(type='LoadFrames'),
    dict(type='LoadChangeMask'),  # for the layout that has change maps
    dict(type='LoadSemanticMaps')
]
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
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(split='train', pipeline=train_pipeline, **dataset))
val_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', pipeline=test_pipeline, test_mode=True, **dataset))
test_dataloader = dict(
    batch_size=4,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', pipeline=test_pipeline, test_mode=True, **dataset))
val_evaluator = [dict(type='ChangeMetric'), dict(type='FromToMetric')]
test_evaluator = [dict(type='ChangeMetric'), dict(type='FromToMetric')]
