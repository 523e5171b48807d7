"""A small change captioner with masks on the built-in dataset, with Chinese captions."""
_base_ = './blip_synth.py'
model = dict(
    caption_head=dict(tokenizer=dict(vocab_file='synth/vocab_zh.json', language='zh')))
train_dataloader = dict(dataset=dict(language='zh'))
val_dataloader = dict(dataset=dict(language='zh'))
test_dataloader = dict(dataset=dict(language='zh'))
