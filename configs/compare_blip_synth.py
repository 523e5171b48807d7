"""Caption heads compared: BLIP's decoder, which attends to the memory at every word."""
_base_ = [
    './_base_/models/compare.py',
    './_base_/datasets/synth_caption.py',
    './_base_/schedules/adamw_compare.py',
    './_base_/runtime.py',
]
channels = 128
model = dict(caption_head=dict(
    type='BlipCaptionHead',
    memory_channels=channels,
    tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_en.json'),
    max_tokens=40,
    config=dict(
        hidden_size=channels, num_hidden_layers=2, intermediate_size=256,
        num_attention_heads=4, max_position_embeddings=64)))
