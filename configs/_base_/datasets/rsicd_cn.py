"""RSICD in Chinese: dataset_rsicd_cn.json in place of the English file, else the same."""
_base_ = './rsicd.py'
train_dataloader = dict(dataset=dict(language='zh'))
val_dataloader = dict(dataset=dict(language='zh'))
test_dataloader = dict(dataset=dict(language='zh'))
