"""Sydney-captions, 500x500 images at 224x224, five captions; selection on val, test on test."""
_base_ = './rsicd.py'
dataset = dict(type='SydneyCaptionsDataset', data_root='Sydney_captions')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
