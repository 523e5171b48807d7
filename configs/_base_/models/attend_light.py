"""A narrow ResNet-18 and a small attention LSTM: trains on a CPU."""
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
        type='AttentionLSTMHead',
        memory_channels=channels,
        embed_dims=channels,
        hidden_dims=256,
        attention_dims=channels,
        dropout=0.2,
        tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_scene_en.json')))
