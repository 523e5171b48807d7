"""The improved KD-RSCC on LEVIR-CC, taught by a captioner that writes word by word.

The teacher, a trained blip_levircc, first describes the training pairs:
python tools/dataset_converters/distil_captions.py configs/blip_levircc.py CKPT --num 10 --closest
"""
_base_ = './kdrscc_plus_levircc.py'
train_pipeline = [
    dict(type='LoadFrames'),
    dict(
        type='PickTeacherCaptions',
        temperature=0.0,
        no_change='the scene is the same as before'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'),
    dict(type='PackChangeInputs')
]
train_dataloader = dict(dataset=dict(
    teacher_captions='captions_blip_levircc_train.json', pipeline=train_pipeline))
