"""Sydney-captions in Chinese: dataset_sydney_cn.json instead of the English file."""
_base_ = './sydney.py'
train_dataloader = dict(dataset=dict(language='zh'))
val_dataloader = dict(dataset=dict(language='zh'))
test_dataloader = dict(dataset=dict(language='zh'))
