"""The small captioner with a memory of 32 tokens in place of 192."""
_base_ = './blip_synth.py'
model = dict(
    fusion=dict(
        _delete_=True,
        type='QueryResampler',
        fusion={{_base_.model.fusion}},
        channels={{_base_.channels}},
        num_queries=32))
