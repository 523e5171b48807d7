"""Landsat-SCD, 416x416 pairs with class maps of both dates; splits 3:1:1 by a fixed lot."""
_base_ = './second.py'
dataset = dict(type='LandsatSCDDataset', data_root='Landsat-SCD')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
