"""The small KD-RSCC, trained with exchanged dates too: what was built has been removed."""
_base_ = './kdrscc_synth.py'
train_dataloader = dict(dataset=dict(pipeline={{_base_.exchange_pipeline}}))
