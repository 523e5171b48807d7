"""The built-in dataset with near infrared, for change detection; files of four bands of 16 bits.

python tools/dataset_converters/synth.py --out data/synth_4_bands --bands 4 --jobs 2
"""
_base_ = './synth_cd.py'
# Bands of the files are blue, green, red and near infrared, reflectance times 10000; plants are
# about twice as bright in near infrared as anything is in visible light.
load = dict(
    type='LoadFrames', bands=(3, 2, 1, 4), scale=((0, 3000), (0, 3000), (0, 3000), (0, 6000)))
train_pipeline = [
    load,
    dict(type='LoadChangeMask'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='drop'),
    dict(type='FramesRandomFlip', direction='vertical', captions='drop'),
    dict(type='FramesRandomRotate90', captions='drop'),
    dict(type='PackChangeInputs')
]
test_pipeline = [load, dict(type='LoadChangeMask'), dict(type='PackChangeInputs')]
root = 'synth_4_bands'
train_dataloader = dict(dataset=dict(data_root=root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(data_root=root, pipeline=test_pipeline))
