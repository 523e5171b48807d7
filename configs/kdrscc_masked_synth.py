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
    # No condition_dropout: guidance helps noise, not masks, and costs a tenth of the training.
    rows_per_sample=3,
    glancing=0.3,
    denoiser={{_base_.model.caption_head.denoiser}},
    decoding=dict(steps=10)))
