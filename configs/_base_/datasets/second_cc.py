"""SECOND-CC, 256x256 pairs with five captions and classes where something changed."""
_base_ = './levir_cc.py'
loading = [dict(type='LoadFrames'), dict(type='LoadSemanticMaps')]
dataset = dict(type='SECONDCCDataset', data_root='SECOND-CC-AUG')
train_pipeline = [
    *loading,
    dict(type='PickCaptions', mode='one'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
test_pipeline = [*loading, dict(type='PackChangeInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))
val_evaluator = [
    dict(type='CaptionMetric', meteor=False, baselines=False), dict(type='ChangeMetric'),
    dict(type='FromToMetric', transitions=False)
]
test_evaluator = [
    dict(type='CaptionMetric'), dict(type='ChangeMetric'), dict(type='FromToMetric')
]
