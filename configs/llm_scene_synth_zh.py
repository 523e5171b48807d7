"""A tiny random Qwen2 that captions single images of the built-in dataset in Chinese."""
_base_ = './llm_scene_synth.py'
model = dict(caption_head=dict(tokenizer=dict(
    tokenizer_file='synth/tokenizer_zh.json', language='zh')))
train_dataloader = dict(dataset=dict(language='zh'))
val_dataloader = dict(dataset=dict(language='zh'))
test_dataloader = dict(dataset=dict(language='zh'))
