"""A small KD-RSCC with all improvements on the built-in dataset: minutes on two CPU cores."""
_base_ = './kdrscc_faithful_synth.py'
channels = 128
model = dict(
    fusion=dict(
        _delete_=True, type='DifferenceFusion', channels=channels, zero_init=False, position=True),
    flag_head=dict(
        _delete_=True, type='ChangeFlagHead', in_channels=3 * channels, loss_weight=0.5),
    caption_head=dict(
        sigma_data='measured',
        normalise=True,
        density=dict(_delete_=True, type='log_uniform', sigma_min=1.0, sigma_max=6.0),
        estimate='words',
        diffusion_weight=0.0,
        rounding_weight=0.0,
        denoised_weight=1.0,
        pad_weight=0.1,
        condition_dropout=0.1,
        denoiser=dict(
            num_layers=2, local_layers=2, alignment='every_layer', adaptive_norm=True,
            self_conditioning=True),
        decoding=dict(
            sampler='dpmpp_2m', steps=10, sigma_min=1.0, sigma_max=6.0, guidance=3.0)))
