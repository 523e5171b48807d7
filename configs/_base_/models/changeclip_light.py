"""A small ChangeCLIP with random weights: trains on a CPU."""
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(
        type='ChangeDataPreprocessor', size_divisor=32, channels_last=True),
    encoder=dict(
        type='CLIPResNet', layers=(1, 1, 1, 1), width=16, heads=8, output_dim=128,
        input_resolution=128),
    # Of the 56 names that CLIP chooses from, those that are rendered.
    prompter=dict(
        type='FixedPrompts', names=('building', 'road', 'tree', 'pond', 'parking lot')),
    fusion=dict(
        type='LanguageGuidedFusion',
        in_channels=(64, 128, 256, 512),
        text_channels=128,
        score_level=3,
        channels=32,
        reduction=8,
        prompt_encoder=dict(
            text_encoder=dict(
                type='CLIPTextEncoder', width=64, heads=4, layers=2, embed_dim=128)),
        context_decoder=dict(width=64, layers=1)),
    change_head=dict(
        type='SwinTextHead',
        text_channels=128,
        in_channels=32,
        channels=24,
        window=8,
        mlp_ratio=2,
        rank=16,
        groups=8,
        dropout=0.0,
        drop_path=0.0,
        # About 3 % of the pixels changed; a lighter class 0 keeps recall up.
        loss_decode=dict(
            type='CrossEntropyLoss', class_weight=[0.3, 1.0])))
