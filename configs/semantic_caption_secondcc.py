"""What became what on SECOND-CC, in maps and in sentences: one encoder, two heads.

python tools/dataset_converters/vocabulary.py --dataset SECONDCCDataset
"""
_base_ = [
    './_base_/models/semantic_r34.py',
    './_base_/datasets/second_cc.py',
    './_base_/schedules/adamw_10e.py',
    './_base_/runtime.py',
]
channels = 256
model = dict(
    encoder=dict(token_level=2, embed_dims=channels, position=True),
    fusion=dict(
        _delete_=True, type='DifferenceFusion', channels=channels, zero_init=False, position=True),
    # The decoder learns its words from random weights.
    caption_head=dict(
        type='BlipCaptionHead',
        tokenizer=dict(type='WordTokenizer', vocab_file='SECOND-CC-AUG/vocab_en.json'),
        memory_channels=channels,
        config=dict(
            hidden_size=channels, num_hidden_layers=3, intermediate_size=1024,
            num_attention_heads=8, max_position_embeddings=64),
        label_smoothing=0.1,
        max_tokens=40,
        decoding=dict(num_beams=3)),
    flag_head=dict(type='ChangeFlagHead', in_channels=3 * channels, loss_weight=0.5))
train_cfg = dict(max_epochs=40)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
