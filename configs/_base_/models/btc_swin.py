"""BTC: a Swin that knows street scenes, signed difference of its maps, UPerNet, Dice loss.

Weights of the encoder: those of the paper, the Swin inside a Mask2Former trained on the Cityscapes;
RSCC_BTC_SWIN_T and RSCC_BTC_SWIN_B name local folders of them.
"""
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(
        type='ChangeDataPreprocessor',
        mean=(0.485, 0.456, 0.406),  # ImageNet's, as published
        std=(0.229, 0.224, 0.225),
        channels_last=True),
    encoder=dict(
        type='BackboneEncoder',
        backbone=dict(
            type='TransformersBackbone',
            pretrained='{{$RSCC_BTC_SWIN_T:facebook/mask2former-swin-tiny-cityscapes-semantic}}')),
    fusion=dict(type='MapFusion', kind='signed'),
    change_head=dict(
        type='mmseg.UPerHead',
        in_channels='auto',
        in_index=[0, 1, 2, 3],
        channels=512,
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='rscc.DiceLoss')),
    # mode='slide' passes windows over images larger than those of the training.
    test_cfg=dict(mode='whole', crop_size=(256, 256), stride=(128, 128), window_batch=8))
