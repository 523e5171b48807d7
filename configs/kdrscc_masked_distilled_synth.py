"""The small KD-RSCC with masks, taught by a word-by-word captioner as kdrscc_distilled_synth.py."""
_base_ = './kdrscc_masked_synth.py'
train_dataloader = dict(
    dataset=dict(
        teacher_captions='captions_blip_synth_train.json',
        pipeline=[
            dict(type='LoadFrames'),
            dict(type='LoadChangeMask'),
            dict(
                type='PickTeacherCaptions',
                temperature=0.0,
                no_change='the scene is the same as before'),
            dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
            dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
            dict(type='PackChangeInputs')
        ]))
