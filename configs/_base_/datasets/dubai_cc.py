"""DUBAI-CC, 50x50 pairs enlarged to 256x256; selection on val, test once on test."""
_base_ = './levir_cc.py'
resize = dict(type='FramesResize', size=(256, 256))
train_pipeline = [
    dict(type='LoadFrames'),
    resize,
    # Its no-change sentences are free text (some thirty variants), so they are kept.
    dict(type='PickCaptions', mode='one'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
test_pipeline = [dict(type='LoadFrames'), resize, dict(type='PackChangeInputs')]
dataset = dict(type='DubaiCCDataset', data_root='DubaiCC500impair/datasetDubaiCCPublic')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))
