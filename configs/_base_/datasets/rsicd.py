"""RSICD, single 224x224 images with five captions; selection on val, test once on test."""
_base_ = './levir_cc.py'
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='FramesResize', size=224),  # RSICD's own size, and that of CLIP
    dict(type='PickCaptions', mode='all'),  # the five sentences of an image share one encoding
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
test_pipeline = [
    dict(type='LoadFrames'), dict(type='FramesResize', size=224), dict(type='PackChangeInputs')
]
dataset = dict(type='RSICDDataset', data_root='RSICD')
# 16 images are 80 sentences a step.
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = dict(batch_size=64, dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = dict(batch_size=64, dataset=dict(pipeline=test_pipeline, **dataset))
