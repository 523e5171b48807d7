"""The small KD-RSCC with masks in place of noise: words appear out of masks in ten steps."""
_base_ = './kdrscc_synth.py'
channels = 128
model = dict(caption_head=dict(
    _delete_=True,
    type='MaskedCaptionHead',
    memory_channels=channels,
    tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_en.json'),
    max_tokens=20,  # 19 of 24,000 captions are longer
    embed_channels=64,
    pad_weight=0.1,
    condition_dropout=0.1,
    rows_per_sample=5,
    denoiser=dict(
        hidden_dims=channels, num_layers=2, local_layers=2, num_heads=4, feedforward_dims=256,
        max_positions=64, alignment='every_layer', alignment_heads=4, alignment_dims=channels,
        alignment_feedforward=64, attention_dropout=0.0, alignment_dropout=0.0,
        adaptive_norm=True, self_conditioning=True),
    decoding=dict(steps=10)))
