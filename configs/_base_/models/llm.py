"""A language model after 32 queries to both dates: frozen CLIP ViT-B/32, Qwen2.5-0.5B with LoRA."""
# Folders of weights work too: export RSCC_CLIP_VITB32=/path/to/ViT-B-32.pt RSCC_LLM=/path/to/folder
clip = '{{$RSCC_CLIP_VITB32:ViT-B-32:openai}}'
llm = '{{$RSCC_LLM:Qwen/Qwen2.5-0.5B}}'
queries = 32
model = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(
        type='ChangeDataPreprocessor',
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711)),
    encoder=dict(
        type='CLIPViT', patch_size=32, input_resolution=224, out_indices=(), pyramid=False,
        drop_path_rate=0.0, pretrained=clip),
    fusion=dict(
        type='QueryResampler',
        fusion=dict(type='DifferenceFusion', channels=512),
        channels=512,
        num_queries=queries),
    caption_head=dict(
        type='PrefixGPTHead',
        memory_channels=512,
        source='tokens',
        prefix_length=queries,  # one embedding a query
        max_tokens=60,
        mapper=dict(type='ProjectionMapper'),
        language_model=dict(
            pretrained=llm,
            tune='lora',
            lora=dict(r=16, lora_alpha=32, lora_dropout=0.05),
            dtype='bfloat16',
            checkpointing=True),
        tokenizer=dict(
            type='PretrainedTokenizer', pretrained=llm, prompt='What changed between the images:'),
        decoding=dict(num_beams=3)),
    freeze=[r'^encoder\.'])
