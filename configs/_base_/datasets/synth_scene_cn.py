"""Single images of the built-in dataset with Chinese scene captions."""
_base_ = './synth_scene.py'
train_dataloader = dict(dataset=dict(language='zh'))
val_dataloader = dict(dataset=dict(language='zh'))
test_dataloader = dict(dataset=dict(language='zh'))
