"""Pairs of your own with a mask each: folders A, B and label, or lists train.txt and test.txt.

Masks are 0 and 255 (or 1), changed buildings being 255 and everything else unlabelled. Other masks:

* 255 is any change, whatever it is of: label_map={0: 0, 1: 253, 255: 253};
* grey values are classes: label_map={0: 0, 1: 1, 2: 2, ...}, by their places in ``classes``;
* the folder was made by tools/dataset_converters/scene_pairs.py, which prints the settings.
"""
dataset = dict(
    type='PathListCDDataset',
    data_root='.',
    ann_file=None,
    classes=['unchanged', 'building', 'road', 'vegetation', 'water', 'parking lot'],
    palette=[[0, 0, 0], [230, 60, 50], [245, 200, 60], [70, 170, 80], [60, 120, 220],
             [150, 100, 200]],
    prompts_from=None)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        **dataset,
        split='train',
        # 254: no changed building here, but whether a road or a field has changed is not known.
        label_map={0: 254, 1: 1, 255: 1},
        cache=dict(size=None),
        pipeline=[
            dict(type='LoadFrames'),
            dict(type='LoadChangeMask'),
            dict(type='FramesRandomCrop', size=(256, 256), zoom=(1.0, 1.5)),
            dict(type='FramesExchangeDates', captions='drop'),
            dict(type='SensorChange'),
            dict(type='FramesRandomFlip', direction='horizontal'),
            dict(type='FramesRandomFlip', direction='vertical'),
            dict(type='FramesRandomRotate90'),
            dict(type='PackChangeInputs')
        ]))
val_dataloader = val_evaluator = None
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        split='test',
        label_map={0: 0, 1: 1, 255: 1},
        test_mode=True,
        pipeline=[
            dict(type='LoadFrames'),
            dict(type='LoadChangeMask'),
            dict(type='PackChangeInputs')
        ]))
test_evaluator = [dict(type='ChangeMetric')]
