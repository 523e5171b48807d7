"""KD-RSCC on LEVIR-CC as published; words and caption length come from the data.

python tools/dataset_converters/levircc.py --root data/LEVIR-CC --word-encode
"""
_base_ = [
    './_base_/models/kdrscc.py',
    './_base_/datasets/levir_cc.py',
    './_base_/schedules/adamw_karras.py',
    './_base_/runtime.py',
]
# One caption of five per visit, as they stand; no augmentation.
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='PickCaptions', mode='one'),
    dict(type='PackChangeInputs')
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
# Sampling uses the moving average of all weights: encoder, denoiser, words.
custom_hooks = [
    dict(type='EMAHook', ema_type='InversePowerEMA', power=0.75, maximum=0.9999)
]
