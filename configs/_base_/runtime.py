"""Logging, checkpoints and random seed of every run."""
default_scope = 'rscc'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Changed pairs only: half of the benchmark's captions are the same five sentences.
    checkpoint=dict(
        type='SafeCheckpointHook', interval=1, max_keep_ckpts=3,
        save_best='caption/changed/CIDEr', rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    seed=dict(type='SeedEpochHook'),
    dataset_epoch=dict(type='DatasetEpochHook'),
    average_buffers=dict(type='AverageBuffersHook'),
    finite_loss=dict(type='FiniteLossHook'),
    throughput=dict(type='ThroughputHook'),
    # Pictures of the same samples at every validation.
    panels=dict(type='PanelHook', num_val=8))
custom_hooks = []
# The backend (NCCL or gloo) is chosen when the processes start; timeout in seconds.
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(timeout=1800))
# Also in TensorBoard or Weights & Biases (pip install "rscc[logging]"): append
# dict(type='TensorboardVisBackend') or
# dict(type='WandbVisBackend', init_kwargs=dict(project='rscc')) to vis_backends.
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='ChangeVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
log_level = 'INFO'
randomness = dict(seed=0, deterministic=False)
load_from = None
resume = False
