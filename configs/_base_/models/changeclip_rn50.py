"""ChangeCLIP with CLIP's ResNet-50; RSCC_CLIP_RN50 names a local file of its weights."""
clip = '{{$RSCC_CLIP_RN50:RN50:openai}}'
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(
        type='ChangeDataPreprocessor',
        mean=(0.48145466, 0.4578275, 0.40821073),  # CLIP's; the published runs took ImageNet's
        std=(0.26862954, 0.26130258, 0.27577711),
        size_divisor=32,
        channels_last=True),
    encoder=dict(type='CLIPResNet', pretrained=clip),
    # Class names from the dataset's CLIP confidence files; without them, none.
    prompter=dict(type='StoredPrompts'),
    fusion=dict(
        type='LanguageGuidedFusion',
        in_channels=(256, 512, 1024, 2048),
        text_channels=1024,
        score_level=3,
        prompt_encoder=dict(
            text_encoder=dict(type='CLIPTextEncoder', embed_dim=1024, pretrained=clip),
            context_std=1.0)),
    change_head=dict(
        type='SwinTextHead',
        text_channels=1024,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)),
    # mode='slide' passes windows over images larger than those of the training.
    test_cfg=dict(
        mode='whole', crop_size=(256, 256), stride=(128, 128), window_batch=8, prompts='image',
        views=('none',)))
