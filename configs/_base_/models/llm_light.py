"""A narrow ResNet-18, a mask head, and a tiny random Qwen2 that continues resampled tokens."""
_base_ = './light_cnn.py'
channels = 128
queries = 16
model = dict(
    fusion=dict(
        _delete_=True,
        type='QueryResampler',
        fusion=dict(type='DifferenceFusion', channels=channels, zero_init=False, position=True),
        channels=channels,
        num_queries=queries),
    caption_head=dict(
        _delete_=True,
        type='PrefixGPTHead',
        memory_channels=channels,
        source='tokens',
        prefix_length=queries,
        max_tokens=40,
        mapper=dict(type='ProjectionMapper'),
        language_model=dict(
            tune='full',
            config=dict(
                model_type='qwen2', hidden_size=channels, intermediate_size=256,
                num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                max_position_embeddings=128, tie_word_embeddings=True)),
        # python tools/dataset_converters/vocabulary.py --dataset synth_change --byte-pairs 600
        tokenizer=dict(
            type='PretrainedTokenizer', tokenizer_file='synth/tokenizer_en.json')))
