"""RSICCformer on LEVIR-CC, with the published recipe (Liu et al., TGRS 2022)."""
_base_ = [
    './_base_/models/rsiccformer.py',
    './_base_/datasets/levir_cc.py',
    './_base_/schedules/adam_captioners.py',
    './_base_/runtime.py',
]
# One caption of five per visit, as they stand; no augmentation.
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='PickCaptions', mode='one'),
    dict(type='PackChangeInputs')
]
# The batch size is Chg2Cap's: the published code's own, 2, stands beside other debugging values.
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(clip_grad=dict(type='value', clip_value=5.0))
