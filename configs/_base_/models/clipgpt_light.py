"""A narrow ResNet-18, a small mapper and a tiny random GPT-2: trains on a CPU."""
_base_ = './light_cnn.py'
channels = 128
model = dict(
    fusion=dict(_delete_=True, type='SingleFrame'),
    change_head=None,
    caption_head=dict(
        _delete_=True,
        type='PrefixGPTHead',
        memory_channels=channels,
        source='tokens',
        prefix_length=8,
        max_tokens=40,
        mapper=dict(type='TransformerMapper', num_layers=2, num_heads=4),
        language_model=dict(
            tune='full',
            config=dict(n_embd=channels, n_layer=2, n_head=4, n_positions=64)),
        tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_scene_en.json')),
    flag_head=None)
