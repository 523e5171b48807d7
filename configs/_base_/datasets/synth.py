"""The built-in dataset at 128x128, decoded once into a cache; selection on val, test on test.

For another size set train_dataloader.dataset.cache.size=(256,256), and the same for val and test.
"""
cache = dict(size=(128, 128), where=None)
loading = [dict(type='LoadFrames'), dict(type='LoadChangeMask')]
told = [
    dict(
        type='PickCaptions',
        mode='all',  # the five sentences of a pair share one encoding
        no_change=dict(en='the scene is the same as before', zh='场景和之前一样')),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='PackChangeInputs')
]
train_pipeline = [*loading, *told]
# What was built has been removed: a config takes it as pipeline={{_base_.exchange_pipeline}}.
exchange_pipeline = [*loading, dict(type='FramesExchangeDates', captions='mirror'), *told]
# Another captioner's best sentence in place of people's, which a tool writes beside the data:
# python tools/dataset_converters/distil_captions.py configs/blip_synth.py CKPT --num 10 --closest
# A config takes it as train_dataloader=dict(dataset={{_base_.taught}}).
taught = dict(
    teacher_captions='captions_blip_synth_train.json',
    pipeline=[
        *loading,
        dict(
            type='PickTeacherCaptions',
            temperature=0.0,
            no_change='the scene is the same as before'), *told[1:]
    ])
test_pipeline = [*loading, dict(type='PackChangeInputs')]
# No worker processes: a cached sample takes less than a millisecond, and the model needs the cores.
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='SynthChangeDataset', data_root='synth', split='train', cache=cache,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='SynthChangeDataset', data_root='synth', split='val', cache=cache,
        pipeline=test_pipeline, test_mode=True))
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='SynthChangeDataset', data_root='synth', split='test', cache=cache,
        pipeline=test_pipeline, test_mode=True))
val_evaluator = [
    dict(type='CaptionMetric', meteor=False, baselines=False), dict(type='ChangeMetric')
]
test_evaluator = [dict(type='CaptionMetric'), dict(type='ChangeMetric')]
