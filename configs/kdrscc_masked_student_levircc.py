"""A head of masks that begins as the decoder of a trained BLIP captioner, on LEVIR-CC.

The teacher, a trained blip_levircc, first describes the training pairs and leaves its weights:
python tools/dataset_converters/distil_captions.py configs/blip_levircc.py CKPT \
    --num 10 --closest --weights
"""
_base_ = './blip_levircc.py'
load_from = '{{$RSCC_DATA:data}}/LEVIR-CC/teacher_blip_levircc.safetensors'
train_dataloader = dict(dataset={{_base_.taught}})
model = dict(
    freeze=[r'^(?!caption_head\.)'],  # all but the caption head
    caption_head=dict(
        _delete_=True,
        type='MaskedCaptionHead',
        tokenizer={{_base_.model.caption_head.tokenizer}},
        memory_channels=768,
        embed_channels=768,
        max_tokens={{_base_.model.caption_head.max_tokens}},
        pad_weight=0.1,
        rows_per_sample=2,
        glancing=0.3,
        denoiser=dict(
            type='DecoderDenoiser', num_layers=12, num_heads=12, feedforward_dims=3072,
            local_layers=1),
        decoding=dict(steps=6)))
custom_hooks = [dict(type='EMAHook', ema_type='InversePowerEMA', power=0.75, maximum=0.9999)]
