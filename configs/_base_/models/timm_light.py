"""Any timm model under small mask and caption heads, whose widths follow the encoder's."""
channels = 128
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(type='ChangeDataPreprocessor', channels_last=True),
    encoder=dict(
        type='TimmEncoder',
        model='tf_efficientnet_lite0',
        # Stride 16: at stride 32 a house of a 128x128 image is a third of a token. Plain
        # transformers have tokens of their own and take no notice.
        token_level=2,
        embed_dims=channels,
        position=True),
    fusion=dict(type='DifferenceFusion', channels='auto', zero_init=False, position=True),
    change_head=dict(
        type='mmseg.FPNHead',
        in_channels='auto',
        in_index=[0, 1, 2, 3],
        feature_strides='auto',
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
        memory_channels='auto',
        config=dict(
            hidden_size=channels, num_hidden_layers=2, intermediate_size=256,
            num_attention_heads=4, max_position_embeddings=64),
        max_tokens=40),
    flag_head=dict(type='ChangeFlagHead', in_channels='auto', loss_weight=0.5))
