"""HRSCD cut into tiles, with class maps of both dates; selection on val, test once on test."""
_base_ = './second.py'
dataset = dict(type='HRSCDDataset', data_root='HRSCD/tiles')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
