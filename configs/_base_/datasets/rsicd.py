"""RSICD, single 224x224 images with five captions; selection on val, test once on test."""
_base_ = './levir_cc.py'
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='FramesResize', size=224),  # RSICD's own size, and that of CLIP
    dict(type='PickCaptions', mode='one'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
test_pipeline = [
    dict(type='LoadFrames'), dict(type='FramesResize', size=224), dict(type='PackChangeInputs')
]
dataset = dict(type='RSICDDataset', data_root='RSICD')
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = dict(batch_size=64, dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = dict(batch_size=64, dataset=dict(pipeline=test_pipeline, **dataset))
