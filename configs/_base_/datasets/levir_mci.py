"""LEVIR-MCI: LEVIR-CC with masks of changed roads and buildings; selection on val, test on test."""
_base_ = './levir_cc.py'
dataset = dict(type='LEVIRMCIDataset', data_root='LEVIR-MCI-dataset')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
val_evaluator = [
    dict(type='CaptionMetric', meteor=False, baselines=False), dict(type='ChangeMetric')
]
test_evaluator = [dict(type='CaptionMetric'), dict(type='ChangeMetric')]
