"""KD-RSCC as published: ResNet-101 up to its third stage, signed difference, Karras diffusion.

RSCC_RESNET101 names a file of the weights of the ResNet.
"""
weights = '{{$RSCC_RESNET101:torchvision://resnet101.imagenet1k_v2}}'
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(
        type='ChangeDataPreprocessor',
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.224)),  # the original's; ImageNet's last value is 0.225
    encoder=dict(
        type='BackboneEncoder',
        pool_tokens=14,
        backbone=dict(
            type='mmseg.ResNet', depth=101, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
            out_indices=(2,), frozen_stages=1, norm_eval=False,
            init_cfg=dict(type='Pretrained', checkpoint=weights))),
    fusion=dict(type='SignedDifference'),
    caption_head=dict(
        type='KarrasCaptionHead',
        memory_channels=1024,
        tokenizer=dict(type='WordTokenizer', vocab_file='LEVIR-CC/word_encoding.json'),
        density=dict(
            type='cosine_interpolated', image_size=41, noise_low=32, noise_high=41,  # 41 ids
            sigma_min=1e-3, sigma_max=1e3),
        decoding=dict(sampler=dict(type='dpmpp_2m_sde', eta=0.0, variant='heun'), steps=50)))
