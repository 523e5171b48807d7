"""LEVIR-CC, 256x256 pairs with five captions; selection on val, test once on test."""
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='LoadChangeMask'),  # for datasets of this layout with masks
    # One of the five captions per visit. Unchanged pairs always get the same one of their five
    # fixed sentences, as in Change-Agent and PromptCC.
    dict(
        type='PickCaptions',
        mode='one',
        no_change=dict(en='the scene is the same as before', zh='场景和之前一样')),
    # 22 % of the changed captions name a direction: its words are exchanged, or the flip skipped.
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    # Drawn for each date: the later images of LEVIR-CC are darker without any change.
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
# Another captioner's best sentence in place of people's, as in synth.py: a config takes it as
# train_dataloader=dict(dataset={{_base_.taught}}), once this has written the sentences:
# python tools/dataset_converters/distil_captions.py configs/blip_levircc.py CKPT --num 10 --closest
taught = dict(
    teacher_captions='captions_blip_levircc_train.json',
    pipeline=[
        *train_pipeline[:2],
        dict(
            type='PickTeacherCaptions',
            temperature=0.0,
            no_change='the scene is the same as before'), *train_pipeline[3:]
    ])
test_pipeline = [
    dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PackChangeInputs')
]
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='LEVIRCCDataset', data_root='LEVIR-CC', split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='LEVIRCCDataset', data_root='LEVIR-CC', split='val', pipeline=test_pipeline,
        test_mode=True))
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='LEVIRCCDataset', data_root='LEVIR-CC', split='test', pipeline=test_pipeline,
        test_mode=True))
val_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
test_evaluator = [dict(type='CaptionMetric')]
