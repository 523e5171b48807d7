"""SYSU-CD, 256x256 pairs with change masks; selection on val, test once on test."""
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='LoadChangeMask'),
    dict(type='FramesRandomRotate', max_angle=180, prob=0.5, captions='drop'),
    # Leaves tiles of 256 as they are; larger images are cropped.
    dict(type='FramesRandomCrop', size=(256, 256)),
    dict(type='FramesRandomFlip', direction='horizontal', prob=0.5, captions='drop'),
    dict(type='FramesRandomFlip', direction='vertical', prob=0.5, captions='drop'),
    # dict(type='FramesExchangeDates', prob=0.5, captions='drop') belongs here; ChangeCLIP has it
    # switched off.
    # ChangeCLIP's ranges (+-10 grey values, +-20 % twice, +-20 degrees), drawn for each date.
    dict(
        type='FramesColorJitter', brightness=0.08, contrast=0.2, saturation=0.2, gamma=0.0, hue=20,
        prob=0.5),
    dict(type='PackChangeInputs')
]
test_pipeline = [
    dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PackChangeInputs')
]
dataset = dict(type='PathListCDDataset', data_root='SYSU-CD')
train_dataloader = dict(
    batch_size=20,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(ann_file='train.txt', split='train', pipeline=train_pipeline, **dataset))
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='val.txt', split='val', pipeline=test_pipeline, test_mode=True, **dataset))
test_dataloader = dict(
    batch_size=8,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='test.txt', split='test', pipeline=test_pipeline, test_mode=True, **dataset))
val_evaluator = [dict(type='ChangeMetric')]
test_evaluator = [dict(type='ChangeMetric')]
