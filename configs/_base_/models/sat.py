"""Show, Attend and Tell over a frozen ResNet-50; RSCC_RESNET50 names a file of its weights."""
weights = '{{$RSCC_RESNET50:torchvision://resnet50}}'
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(
        type='ChangeDataPreprocessor',
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225)),
    encoder=dict(
        type='BackboneEncoder',
        pool_tokens=14,
        backbone=dict(
            type='mmseg.ResNet', depth=50,
            init_cfg=dict(type='Pretrained', checkpoint=weights))),
    fusion=dict(type='SingleFrame'),
    caption_head=dict(
        type='AttentionLSTMHead',
        memory_channels=2048,
        tokenizer=dict(type='WordTokenizer')),
    freeze=[r'^encoder\.'])
