"""BLIP-base for one or more dates: ViT-B/16 encoder, BERT-base decoder, subwords."""
# A local folder with the downloaded model works too: export RSCC_BLIP=/path/to/folder
pretrained = '{{$RSCC_BLIP:Salesforce/blip-image-captioning-base}}'
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(
        type='ChangeDataPreprocessor',
        # CLIP's statistics, as in BLIP's own training.
        mean=[0.48145466, 0.4578275, 0.40821073],
        std=[0.26862954, 0.26130258, 0.27577711]),
    encoder=dict(type='BlipViT', pretrained=pretrained),
    fusion=dict(type='DifferenceFusion', channels=768),
    caption_head=dict(
        type='BlipCaptionHead',
        pretrained=pretrained,
        tokenizer=dict(type='WordPieceTokenizer', pretrained=pretrained),
        memory_channels=768,
        label_smoothing=0.1,
        # 11 % of LEVIR-CC's changed captions are longer than the 15 subwords BLIP usually keeps.
        max_tokens=40,
        decoding=dict(num_beams=3)),
    # pooled = [from, to, |to - from|] of 768 channels each
    flag_head=dict(type='ChangeFlagHead', in_channels=2304, loss_weight=0.5))
