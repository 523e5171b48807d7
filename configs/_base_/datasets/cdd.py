"""CDD (season-varying), 256x256 pairs; selection on val, test once on test."""
_base_ = './sysu_cd.py'
dataset = dict(data_root='ChangeDetectionDataset/Real/subset')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
