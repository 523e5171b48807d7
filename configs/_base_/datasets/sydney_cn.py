"""Sydney-captions in Chinese, from dataset_sydney_cn.json; otherwise as in English."""
_base_ = './sydney.py'
train_dataloader = dict(dataset=dict(language='zh'))
val_dataloader = dict(dataset=dict(language='zh'))
test_dataloader = dict(dataset=dict(language='zh'))
