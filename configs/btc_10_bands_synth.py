"""A small BTC detector on the built-in dataset in the ten bands of 10 and 20 m of Sentinel-2.

python tools/dataset_converters/synth.py --out data/synth_10_bands --bands 10 --jobs 2
"""
_base_ = './btc_4_bands_synth.py'
model = dict(encoder=dict(bands=10))
# Files hold B2 B3 B4 B5 B6 B7 B8 B8A B11 B12; red, green and blue come first here.
load = dict(
    type='LoadFrames',
    bands=(3, 2, 1, 4, 5, 6, 7, 8, 9, 10),
    scale=((0, 3000), ) * 3 + ((0, 6000), ) * 7)
train_pipeline = [
    load,
    dict(type='LoadChangeMask'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='drop'),
    dict(type='FramesRandomFlip', direction='vertical', captions='drop'),
    dict(type='FramesRandomRotate90', captions='drop'),
    dict(type='PackChangeInputs')
]
test_pipeline = [load, dict(type='LoadChangeMask'), dict(type='PackChangeInputs')]
root = 'synth_10_bands'
train_dataloader = dict(dataset=dict(data_root=root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(data_root=root, pipeline=test_pipeline))
