"""Caption heads compared: CLIP-GPT's, a GPT-2 that continues a prefix made of the memory."""
_base_ = [
    './_base_/models/compare.py',
    './_base_/datasets/synth_caption.py',
    './_base_/schedules/adamw_compare.py',
    './_base_/runtime.py',
]
channels = 128
model = dict(caption_head=dict(
    type='PrefixGPTHead',
    memory_channels=channels,
    source='tokens',
    tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_en.json'),
    max_tokens=40,
    prefix_length=8,
    mapper=dict(type='TransformerMapper', num_layers=2, num_heads=4),
    language_model=dict(
        tune='full',
        config=dict(n_embd=channels, n_layer=2, n_head=4, n_positions=64))))
