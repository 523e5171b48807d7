"""A small model of semantic change: a U-Net of both dates, from random weights, on a CPU."""
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(type='ChangeDataPreprocessor', channels_last=True),
    encoder=dict(type='UNetEncoder', dropout=0.1),
    fusion=dict(type='MapFusion', kind='signed'),
    change_head=dict(
        type='SemanticChangeHead',
        date_channels='auto',
        in_index=(1, 2, 3, 4),  # strides 2 to 16; the finest map costs as much as all others
        num_semantic_classes=10,
        channels=32,
        # About 3 % of the pixels changed; a lighter class 0 and Dice keep recall up.
        loss_decode=[
            dict(type='CrossEntropyLoss', class_weight=[0.3, 1.0]),
            dict(type='DiceLoss', loss_weight=0.5)
        ],
        loss_class=dict(type='CrossEntropyLoss', loss_name='loss_class'),
        loss_agreement=dict(type='SemanticConsistencyLoss', loss_weight=0.5)),
    # mode='slide' passes windows over images larger than those of the training.
    test_cfg=dict(mode='whole', crop_size=(256, 256), stride=(128, 128), window_batch=8))
