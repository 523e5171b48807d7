"""UCM-captions, 256x256 images at 224x224, five captions; selection on val, test once on test."""
_base_ = './rsicd.py'
dataset = dict(type='UCMCaptionsDataset', data_root='UCM_captions')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
