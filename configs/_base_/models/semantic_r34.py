"""Semantic change on a ResNet-34 with ImageNet weights: class maps of both dates and their change.

Losses of classes and of their agreement as in Bi-SRNet (Ding et al., TGRS 2022). Its change loss
weights unchanged pixels three times as much, its ResNet-34 keeps a stride of 8, and its decoder has
attention between the dates.
"""
model = dict(
    type='ChangeInterpreter',
    # Images are standardised as the weights of the encoder were trained to see them.
    data_preprocessor=dict(type='ChangeDataPreprocessor', channels_last=True),
    encoder=dict(type='TimmEncoder', model='resnet34', pretrained=True),
    fusion=dict(type='MapFusion', kind='signed'),
    change_head=dict(
        type='SemanticChangeHead',
        date_channels='auto',
        in_index=(0, 1, 2, 3),
        num_semantic_classes=6,
        channels=128,
        dropout=0.1,
        loss_decode=dict(type='CrossEntropyLoss'),
        loss_class=dict(type='CrossEntropyLoss', loss_name='loss_class'),
        # Where labels are drawn for changed pixels alone, classes elsewhere learn by this.
        loss_agreement=dict(type='SemanticConsistencyLoss')),
    # mode='slide' passes windows over images larger than those of the training.
    test_cfg=dict(mode='whole', crop_size=(512, 512), stride=(384, 384), window_batch=4))
