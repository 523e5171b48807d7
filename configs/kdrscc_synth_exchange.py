"""The small KD-RSCC, trained with exchanged dates too: what was built has been removed."""
_base_ = './kdrscc_synth.py'
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadFrames'),
            dict(type='LoadChangeMask'),
            dict(type='FramesExchangeDates', captions='mirror'),
            dict(
                type='PickCaptions',
                mode='all',
                no_change=dict(en='the scene is the same as before', zh='场景和之前一样')),
            dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
            dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
            dict(type='PackChangeInputs')
        ]))
