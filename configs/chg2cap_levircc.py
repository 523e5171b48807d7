"""Chg2Cap on LEVIR-CC, with the published recipe (Chang and Ghamisi, TIP 2023)."""
_base_ = [
    './_base_/models/chg2cap.py',
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
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
# 50 published epochs of five visits, the rate halved after every fifth.
train_cfg = dict(max_epochs=250)
param_scheduler = [dict(type='StepLR', step_size=25, gamma=0.5, by_epoch=True)]
