"""Siamese U-Net (FC-Siam-diff): absolute differences join a decoder of the later date's map."""
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(type='ChangeDataPreprocessor', channels_last=True),
    encoder=dict(type='UNetEncoder', dates_apart=True),
    fusion=dict(type='MapFusion', kind='absolute', coarsest='to'),
    change_head=dict(
        type='UNetHead',
        in_channels='auto',
        in_index=(0, 1, 2, 3, 4),
        loss_decode=dict(type='CrossEntropyLoss')),
    # mode='slide' passes windows over images larger than those of the training.
    test_cfg=dict(mode='whole', crop_size=(256, 256), stride=(128, 128), window_batch=8))
