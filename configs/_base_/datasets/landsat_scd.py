"""Landsat-SCD, 416x416 pairs at 30 m; no splits are published: 3:1:1 by lot, always the same."""
_base_ = './second.py'
dataset = dict(type='LandsatSCDDataset', data_root='Landsat-SCD')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
