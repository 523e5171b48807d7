"""A narrow ResNet-18, a mask head and a two-layer word decoder: trains from scratch on a CPU."""
channels = 128
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(type='ChangeDataPreprocessor', channels_last=True),
    encoder=dict(
        type='BackboneEncoder',
        backbone=dict(
            type='mmseg.ResNet', depth=18, base_channels=16, stem_channels=16, norm_eval=False),
        # Stride 16: at stride 32 a house of a 128x128 image is a third of a token.
        token_level=2,
        out_channels=64,
        embed_dims=channels,
        position=True,
        channels_last=True),
    fusion=dict(type='DifferenceFusion', channels=channels, zero_init=False, position=True),
    change_head=dict(
        type='mmseg.FPNHead',
        in_channels=[48, 96, 192, 384],  # from, to and difference of every stage
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=32,
        num_classes=6,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        # About 3 % of the pixels changed; a smaller weight of class 0 keeps recall up.
        loss_decode=dict(
            type='rscc.CrossEntropyLoss',
            class_weight=[0.3, 1.0, 1.0, 1.0, 1.0, 1.0])),
    caption_head=dict(
        type='BlipCaptionHead',
        tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_en.json'),
        memory_channels=channels,
        config=dict(
            hidden_size=channels, num_hidden_layers=2, intermediate_size=256,
            num_attention_heads=4, max_position_embeddings=64),
        max_tokens=40),
    flag_head=dict(type='ChangeFlagHead', in_channels=3 * channels, loss_weight=0.5))
