"""SECOND-CC, 256x256 pairs with five captions and class maps; selection on val, test on test."""
_base_ = './levir_cc.py'
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='LoadSemanticMaps'),
    dict(type='PickCaptions', mode='one', no_change='the scene is the same as before'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
test_pipeline = [
    dict(type='LoadFrames'), dict(type='LoadSemanticMaps'), dict(type='PackChangeInputs')
]
dataset = dict(type='SECONDCCDataset', data_root='SECOND-CC-AUG')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))
val_evaluator = [
    dict(type='CaptionMetric', meteor=False, baselines=False),
    dict(type='ChangeMetric'),
    dict(type='FromToMetric')
]
test_evaluator = [
    dict(type='CaptionMetric'), dict(type='ChangeMetric'), dict(type='FromToMetric')
]
