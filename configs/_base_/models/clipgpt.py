"""CLIP-GPT: frozen CLIP ViT-B/32, mapper, frozen GPT-2; RSCC_CLIP_VITB32, RSCC_GPT2 name files."""
clip = '{{$RSCC_CLIP_VITB32:ViT-B-32:openai}}'
gpt = '{{$RSCC_GPT2:gpt2}}'
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(
        type='ChangeDataPreprocessor',
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711)),
    encoder=dict(
        type='CLIPViT', patch_size=32, input_resolution=224, out_indices=(), pyramid=False,
        drop_path_rate=0.0, pretrained=clip),
    fusion=dict(type='SingleFrame'),
    caption_head=dict(
        type='PrefixGPTHead',
        memory_channels=512,
        prefix_length=20,
        mapper=dict(type='MLPMapper'),
        language_model=dict(pretrained=gpt, tune='frozen'),
        tokenizer=dict(type='BytePairTokenizer', pretrained=gpt)),
    freeze=[r'^encoder\.'])
