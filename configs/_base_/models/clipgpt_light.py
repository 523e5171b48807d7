"""A narrow ResNet-18, a small mapper and a tiny GPT-2 made on the spot: trains on a CPU."""
channels = 128
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(type='ChangeDataPreprocessor', channels_last=True),
    encoder=dict(
        type='BackboneEncoder',
        backbone=dict(
            type='mmseg.ResNet', depth=18, base_channels=16, stem_channels=16, norm_eval=False),
        token_level=2,
        out_channels=64,
        embed_dims=channels,
        position=True,
        channels_last=True),
    fusion=dict(type='SingleFrame'),
    caption_head=dict(
        type='PrefixGPTHead',
        memory_channels=channels,
        source='tokens',
        prefix_length=8,
        max_tokens=40,
        mapper=dict(type='TransformerMapper', num_layers=2, num_heads=4),
        language_model=dict(
            tune='full',
            config=dict(n_embd=channels, n_layer=2, n_head=4, n_positions=64)),
        tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_scene_en.json')))
