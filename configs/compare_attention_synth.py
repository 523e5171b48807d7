"""Caption heads compared: Show, Attend and Tell's LSTM, which looks at one mixture a word."""
_base_ = [
    './_base_/models/compare.py',
    './_base_/datasets/synth_caption.py',
    './_base_/schedules/adamw_compare.py',
    './_base_/runtime.py',
]
channels = 128
model = dict(caption_head=dict(
    type='AttentionLSTMHead',
    memory_channels=channels,
    tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_en.json'),
    embed_dims=channels,
    hidden_dims=256,
    attention_dims=channels,
    dropout=0.2))
