"""CDD (season-varying), 256x256 pairs; selection on val, test once on test."""
_base_ = './sysu_cd.py'
dataset = dict(
    data_root='ChangeDetectionDataset/Real/subset',
    label_threshold=128)  # its labels are JPEG files, whose values spread around 0 and 255
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
