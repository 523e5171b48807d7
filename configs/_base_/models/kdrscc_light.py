"""A narrow ResNet-18, a mask head and a small Karras diffusion head: trains on a CPU."""
_base_ = './light_cnn.py'
channels = 128
model = dict(
    fusion=dict(_delete_=True, type='SignedDifference'),
    flag_head=None,
    caption_head=dict(
        _delete_=True,
        type='KarrasCaptionHead',
        memory_channels=channels,
        tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_en.json'),
        max_tokens=20,  # 19 of 24,000 captions are longer
        embed_channels=16,
        denoiser=dict(
            hidden_dims=channels, num_layers=3, num_heads=4, feedforward_dims=256,
            max_positions=64, alignment_heads=4, alignment_dims=channels,
            alignment_feedforward=64, attention_dropout=0.0, alignment_dropout=0.0),
        density=dict(
            type='cosine_interpolated', image_size=22, noise_low=16, noise_high=22,
            sigma_min=1e-3, sigma_max=1e3),
        rows_per_sample=5,
        decoding=dict(sampler=dict(type='dpmpp_2m_sde', eta=0.0, variant='heun'), steps=50)))
