"""Sydney-captions, single 500x500 images with five captions at 224x224; selection on val, test once on test."""
_base_ = './rsicd.py'
dataset = dict(type='SydneyCaptionsDataset', data_root='Sydney_captions')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
