"""Caption heads compared: KD-RSCC's diffusion, which draws all words of a sentence at once."""
_base_ = [
    './_base_/models/compare.py',
    './_base_/datasets/synth_caption.py',
    './_base_/schedules/adamw_compare.py',
    './_base_/runtime.py',
]
channels = 128
model = dict(caption_head=dict(
    type='KarrasCaptionHead',
    memory_channels=channels,
    tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_en.json'),
    max_tokens=20,  # 19 of 24,000 captions are longer
    embed_channels=16,
    sigma_data='measured',
    normalise=True,
    density=dict(type='log_uniform', sigma_min=1.0, sigma_max=6.0),
    estimate='words',
    diffusion_weight=0.0,
    rounding_weight=0.0,
    denoised_weight=1.0,
    pad_weight=0.1,
    condition_dropout=0.1,
    rows_per_sample=5,
    denoiser=dict(
        hidden_dims=channels, num_layers=2, local_layers=2, num_heads=4, feedforward_dims=256,
        max_positions=64, alignment='every_layer', alignment_heads=4, alignment_dims=channels,
        alignment_feedforward=64, attention_dropout=0.0, alignment_dropout=0.0,
        adaptive_norm=True, self_conditioning=True),
    decoding=dict(sampler='dpmpp_2m', steps=10, sigma_min=1.0, sigma_max=6.0, guidance=3.0)))
# Part of this head's recipe: sentences are drawn with averaged weights.
custom_hooks = [dict(type='EMAHook', ema_type='InversePowerEMA', power=0.75, maximum=0.9999)]
