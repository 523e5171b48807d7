"""Pseudo-pairs of real tiles with building masks, and the built-in dataset in both looks.

python tools/dataset_converters/synth.py --out data/synth --jobs 2
python tools/dataset_converters/synth.py --out data/synth_varied --look varied \
    --train 2500 --val 200 --test 200 --jobs 2

Tiles come from the folders below $RSCC_TRAIN (docs/en/datasets.md#tiles-with-masks). Rio de Janeiro
and Banepa are held back, and so are one flood pair and three dates of NAIP: settings and thresholds
are chosen on them.
"""
no_change = dict(en='the scene is the same as before', zh='场景和之前一样')
appearance = [
    dict(type='SensorChange', strength=1.25),
    dict(type='FramesRandomFlip', direction='horizontal'),
    dict(type='FramesRandomFlip', direction='vertical'),
    dict(type='FramesRandomRotate90'),
    dict(type='PackChangeInputs')
]
tested = [dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PackChangeInputs')]
spacenet = dict(type='TileDataset', data_root='$RSCC_TRAIN/spacenet_figures', resolution=0.4)
# Real dates without a change of buildings: before and after a flood, and fields over eleven years
# (of 5 m a pixel, taken as if they were half a metre: it is their changing light that is wanted).
flood = dict(
    type='TileDataset', data_root='$RSCC_TRAIN/spacenet8_pairs', resolution=0.6, images='A',
    masks='buildings_A', other_dates=['B'])
fields = dict(
    type='TileDataset', data_root='$RSCC_TRAIN/naip_nd_timeseries', resolution=0.5, images='.',
    masks=None, empty='all', series=True,
    loading=dict(bands=(1, 2, 3)))
late_dates = ['*_2018*', '*_2019*', '*_2020*']
train_tiles = [
    dict(type='TileDataset', data_root='$RSCC_TRAIN/spacenet2_vegas', resolution=0.3),
    dict(type='TileDataset', data_root='$RSCC_TRAIN/spacenet2_cities', resolution=0.3),
    dict(type='TileDataset', data_root='$RSCC_TRAIN/spacenet6_rotterdam', resolution=0.5),
    dict(**spacenet, exclude=['rio_*']),
    dict(type='TileDataset', data_root='$RSCC_TRAIN/oam_kampala', resolution=0.5),
    dict(type='TileDataset', data_root='$RSCC_TRAIN/ign_flair', resolution=0.2),
    dict(type='TileDataset', data_root='$RSCC_TRAIN/ucmerced', resolution=0.3,
         empty='building_free.txt'),
    dict(**flood, exclude=['sn8_2.png']),
    dict(**fields, exclude=late_dates),
]
held_back_tiles = [
    dict(type='TileDataset', data_root='$RSCC_TRAIN/spacenet1_rio', resolution=0.5),
    dict(**spacenet, include=['rio_*']),
    dict(type='TileDataset', data_root='$RSCC_TRAIN/oam_banepa', resolution=0.4),
    dict(**flood, include=['sn8_2.png']),
    dict(**fields, include=late_dates),
]
languages = ('en', 'zh')
rendered = dict(
    type='SynthChangeDataset',
    languages=languages,
    cache=dict(size=None, where=None),
    pipeline=[
        dict(type='LoadFrames'),
        dict(type='LoadChangeMask'),
        dict(type='FramesExchangeDates', captions='mirror'),
        dict(type='PickCaptions', mode='all', no_change=no_change),
        *appearance
    ])
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='PseudoPairDataset',
                tiles=train_tiles,
                length=5000,
                resolution=(0.25, 1.0),
                kinds=dict(two_places=0.2, erased=0.25, pasted=0.2, unchanged=0.35),
                lean=0.4,
                languages=languages,
                pipeline=[dict(type='PickCaptions', mode='all', no_change=no_change), *appearance]),
            dict(**rendered, data_root='synth_varied'),
            dict(**rendered, data_root='synth', indices=1500)
        ]))
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='PseudoPairDataset',
                tiles=held_back_tiles,
                length=200,
                resolution=(0.25, 1.0),
                rest=0,
                split='val',
                seed=7,
                test_mode=True,
                # Harder than in training: real dates differ more than any augmentation makes them.
                pipeline=[dict(type='SensorChange', strength=2.0), dict(type='PackChangeInputs')]),
            dict(
                type='SynthChangeDataset',
                data_root='synth_varied',
                split='val',
                indices=200,
                test_mode=True,
                pipeline=tested)
        ]))
test_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='SynthChangeDataset',
        data_root='synth',
        split='test',
        test_mode=True,
        pipeline=tested))
val_evaluator = [
    dict(type='CaptionMetric', meteor=False, baselines=False), dict(type='ChangeMetric')
]
test_evaluator = [dict(type='CaptionMetric'), dict(type='ChangeMetric')]
