"""RSICCformer: frozen ResNet-101 up to its third stage, difference attention, one decoder layer.

RSCC_RESNET101 names a file of the weights of the ResNet.
"""
weights = '{{$RSCC_RESNET101:torchvision://resnet101}}'
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
            type='mmseg.ResNet', depth=101, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
            out_indices=(2,), init_cfg=dict(type='Pretrained', checkpoint=weights))),
    fusion=dict(type='RSICCformerFusion', channels=1024, dims=512),
    # Post-norm self-attention, attention to the memory and a perceptron, as published; positions
    # are learned here, and words pass one layer more before they are scored.
    caption_head=dict(
        type='BlipCaptionHead',
        tokenizer=dict(type='WordTokenizer', vocab_file='LEVIR-CC/vocab_en.json'),
        memory_channels=1024,
        config=dict(
            hidden_size=1024, num_hidden_layers=1, intermediate_size=4096, num_attention_heads=8,
            hidden_act='relu', hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5,
            max_position_embeddings=64, tie_word_embeddings=False),
        max_tokens=40,
        decoding=dict(num_beams=1)),
    freeze=[r'^encoder\.'])
