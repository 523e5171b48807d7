"""Chg2Cap: ResNet-101 that learns, attention in each date and over both, one decoder layer.

RSCC_RESNET101 names a file of the weights of the ResNet.
"""
weights = '{{$RSCC_RESNET101:torchvision://resnet101}}'
model = dict(
    type='ChangeInterpreter',
    # Statistics of LEVIR-CC's training images, as published, not those of the weights.
    data_preprocessor=dict(
        type='ChangeDataPreprocessor',
        mean=(0.3948, 0.3902, 0.3333),
        std=(0.1999, 0.1901, 0.1753)),
    encoder=dict(
        type='BackboneEncoder',
        backbone=dict(
            type='mmseg.ResNet', depth=101, strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1),
            out_indices=(3,), frozen_stages=1, norm_eval=False,
            init_cfg=dict(type='Pretrained', checkpoint=weights))),
    fusion=dict(type='Chg2CapFusion', channels=2048, dims=2048),
    # Post-norm self-attention, attention to the memory and a perceptron, as published; positions
    # are learned here, and words pass one layer more before they are scored.
    caption_head=dict(
        type='BlipCaptionHead',
        tokenizer=dict(type='WordTokenizer', vocab_file='LEVIR-CC/vocab_en.json'),
        memory_channels=2048,
        config=dict(
            hidden_size=2048, num_hidden_layers=1, intermediate_size=8192, num_attention_heads=8,
            hidden_act='relu', hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
            max_position_embeddings=64, tie_word_embeddings=False),
        max_tokens=40,
        decoding=dict(num_beams=1)))
