"""BLIP on LEVIR-CC with a memory of 32 tokens in place of 771: faster decoding."""
_base_ = './blip_levircc.py'
model = dict(
    fusion=dict(
        _delete_=True,
        type='QueryResampler',
        fusion=dict(type='DifferenceFusion', channels=768),
        channels=768,
        num_queries=32))
