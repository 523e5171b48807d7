"""HRSCD cut into 512x512 tiles at 0.5 m; whole images 3:1:1 by lot, see docs/en/datasets.md.

python tools/dataset_converters/tiles.py cut data/HRSCD --hrscd --size 512 --overlap 0 --out
data/HRSCD/tiles
"""
_base_ = './second.py'
dataset = dict(type='HRSCDDataset', data_root='HRSCD/tiles')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
