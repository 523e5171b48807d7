"""KD-RSCC on LEVIR-CC with all improvements; docs/en/kd_rscc.md lists the effect of each."""
_base_ = './kdrscc_levircc.py'
channels = 768
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='PickCaptions', mode='one', no_change='the scene is the same as before'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    data_preprocessor=dict(std=(0.229, 0.224, 0.225)),
    encoder=dict(
        pool_tokens=None, out_channels=1024, embed_dims=channels, position=True,
        backbone=dict(norm_eval=True)),
    fusion=dict(
        _delete_=True, type='DifferenceFusion', channels=channels, zero_init=False, position=True),
    flag_head=dict(type='ChangeFlagHead', in_channels=3 * channels),
    caption_head=dict(
        memory_channels=channels,
        sigma_data='measured', normalise=True, estimate='words',
        density=dict(_delete_=True, type='log_uniform', sigma_min=0.7, sigma_max=6.0),
        diffusion_weight=0.0, rounding_weight=0.0, denoised_weight=1.0, pad_weight=0.1,
        condition_dropout=0.1, rows_per_sample=4,
        denoiser=dict(alignment='every_layer', alignment_dims=channels, adaptive_norm=True,
                      self_conditioning=True, local_layers=2),
        decoding=dict(
            sampler='dpmpp_2m', steps=10, sigma_min=0.7, sigma_max=6.0, guidance=2.0)))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.02),
    paramwise_cfg=dict(custom_keys={r'^encoder\.backbone\.': dict(lr_mult=0.1)}))
param_scheduler = [dict(type='WarmupCosineLR', by_epoch=False, warmup=0.05, floor=0.01)]
