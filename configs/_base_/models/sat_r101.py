"""Show, Attend and Tell over a frozen ResNet-101; RSCC_RESNET101 names a file of its weights."""
_base_ = './sat.py'
weights = '{{$RSCC_RESNET101:torchvision://resnet101}}'
model = dict(encoder=dict(backbone=dict(
    depth=101, init_cfg=dict(type='Pretrained', checkpoint=weights))))
