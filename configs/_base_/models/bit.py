"""BIT: ResNet-18 of three stages, semantic tokens of both dates, absolute difference, small CNN.

RSCC_RESNET18 names a file of the weights of the ResNet.
"""
weights = '{{$RSCC_RESNET18:torchvision://resnet18}}'
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(type='ChangeDataPreprocessor', channels_last=True),
    encoder=dict(
        type='BackboneEncoder',
        backbone=dict(
            type='mmseg.ResNet', depth=18, num_stages=3, strides=(1, 2, 1), dilations=(1, 1, 1),
            out_indices=(2,), norm_eval=False,
            init_cfg=dict(type='Pretrained', checkpoint=weights))),
    fusion=dict(type='BITFusion', channels=256),
    change_head=dict(
        type='EnlargedConvHead', in_channels=32, loss_decode=dict(type='CrossEntropyLoss')),
    # mode='slide' passes windows over images larger than those of the training.
    test_cfg=dict(mode='whole', crop_size=(256, 256), stride=(128, 128), window_batch=8))
