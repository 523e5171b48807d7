"""LEVIR-MCI: LEVIR-CC with masks of changed roads and buildings; selection on val, test on test."""
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='LoadChangeMask'),
    # One of the five captions per visit. The five stock sentences of unchanged pairs say the same;
    # one of them for all is what Change-Agent and PromptCC train on.
    dict(type='PickCaptions', mode='one', no_change='the scene is the same as before'),
    # 22 % of the changed captions name a direction: its words are exchanged, or the flip skipped.
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    # Per date: the later images of LEVIR-CC are darker, which is no change.
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
test_pipeline = [
    dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PackChangeInputs')
]
data_root = 'LEVIR-MCI-dataset'
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='LEVIRMCIDataset', data_root=data_root, split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='LEVIRMCIDataset', data_root=data_root, split='val', pipeline=test_pipeline,
        test_mode=True))
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='LEVIRMCIDataset', data_root=data_root, split='test', pipeline=test_pipeline,
        test_mode=True))
val_evaluator = [
    dict(type='CaptionMetric', meteor=False, baselines=False), dict(type='ChangeMetric')
]
test_evaluator = [dict(type='CaptionMetric'), dict(type='ChangeMetric')]
