"""JL1-CD, 512x512 pairs with change masks; no split is published for selection."""
_base_ = './sysu_cd.py'
dataset = dict(_delete_=True, type='JL1CDDataset', data_root='JL1-CD')
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='JL1CDDataset',
        data_root='JL1-CD',
        split='train',
        pipeline={{_base_.train_pipeline}}))
val_dataloader = val_evaluator = None
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='JL1CDDataset',
        data_root='JL1-CD',
        split='test',
        test_mode=True,
        pipeline={{_base_.test_pipeline}}))
