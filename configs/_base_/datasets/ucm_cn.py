"""UCM-captions in Chinese: dataset_ucm_cn.json in place of the English file, else the same."""
_base_ = './ucm.py'
train_dataloader = dict(dataset=dict(language='zh'))
val_dataloader = dict(dataset=dict(language='zh'))
test_dataloader = dict(dataset=dict(language='zh'))
