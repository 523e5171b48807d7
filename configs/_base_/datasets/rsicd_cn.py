"""RSICD in Chinese, from dataset_rsicd_cn.json; otherwise as in English."""
_base_ = './rsicd.py'
train_dataloader = dict(dataset=dict(language='zh'))
val_dataloader = dict(dataset=dict(language='zh'))
test_dataloader = dict(dataset=dict(language='zh'))
