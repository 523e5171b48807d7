"""The small KD-RSCC taught by a word-by-word captioner: sequence-level distillation.

The teacher, a trained blip_synth, first describes the training pairs:
python tools/dataset_converters/distil_captions.py configs/blip_synth.py CKPT
"""
_base_ = './kdrscc_synth.py'
train_dataloader = dict(
    dataset=dict(
        teacher_captions='captions_blip_synth_train.json',
        pipeline=[
            dict(type='LoadFrames'),
            dict(type='LoadChangeMask'),
            # Always the best sentence; the head draws five noisy copies of it.
            dict(
                type='PickTeacherCaptions',
                temperature=0.0,
                no_change='the scene is the same as before'),
            dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
            dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
            dict(type='PackChangeInputs')
        ]))
