"""The small KD-RSCC with masks in place of noise: words appear out of masks in ten steps."""
_base_ = './kdrscc_synth.py'
model = dict(caption_head=dict(
    _delete_=True,
    type='MaskedCaptionHead',
    memory_channels={{_base_.model.caption_head.memory_channels}},
    tokenizer={{_base_.model.caption_head.tokenizer}},
    max_tokens={{_base_.model.caption_head.max_tokens}},
    embed_channels=64,
    pad_weight={{_base_.model.caption_head.pad_weight}},
    condition_dropout={{_base_.model.caption_head.condition_dropout}},
    rows_per_sample={{_base_.model.caption_head.rows_per_sample}},
    glancing=0.5,
    denoiser={{_base_.model.caption_head.denoiser}},
    decoding=dict(steps=10)))
