"""LEVIR-CC, 256x256 pairs with five captions; selection on val, test once on test."""
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='LoadChangeMask'),  # where a dataset of this layout has masks
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
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='LEVIRCCDataset', data_root='LEVIR-CC', split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='LEVIRCCDataset', data_root='LEVIR-CC', split='val', pipeline=test_pipeline,
        test_mode=True))
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='LEVIRCCDataset', data_root='LEVIR-CC', split='test', pipeline=test_pipeline,
        test_mode=True))
val_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
test_evaluator = [dict(type='CaptionMetric')]
