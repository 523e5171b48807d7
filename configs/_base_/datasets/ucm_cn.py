"""UCM-captions in Chinese, from dataset_ucm_cn.json; otherwise as in English."""
_base_ = './ucm.py'
train_dataloader = dict(dataset=dict(language='zh'))
val_dataloader = dict(dataset=dict(language='zh'))
test_dataloader = dict(dataset=dict(language='zh'))
