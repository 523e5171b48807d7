"""The small change captioner, trained with exchanged dates too: what was built has been removed."""
_base_ = './blip_synth.py'
train_dataloader = dict(dataset=dict(pipeline={{_base_.exchange_pipeline}}))
# Each direction is seen as often as blip_synth sees the one.
train_cfg = dict(max_epochs=16)
