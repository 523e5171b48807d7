"""LEVIR-CD cut into 256x256 tiles; selection on val, test once on test."""
_base_ = './sysu_cd.py'
dataset = dict(data_root='LEVIR-CD/cut_data', metainfo=dict(ground_resolution=0.5))
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
