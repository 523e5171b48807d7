"""A head of masks that begins as the decoder of a trained captioner, beside its other parts.

The teacher, a trained blip_synth, first describes the training pairs and leaves its weights:
python tools/dataset_converters/distil_captions.py configs/blip_synth.py CKPT \
    --num 10 --closest --weights
"""
_base_ = './kdrscc_masked_distilled_synth.py'
load_from = '{{$RSCC_DATA:data}}/synth/teacher_blip_synth.safetensors'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=20, val_interval=5)
model = dict(
    freeze=[r'^(?!caption_head\.)'],  # all but the caption head
    caption_head=dict(
        embed_channels=128,
        rows_per_sample=2,
        denoiser=dict(
            _delete_=True, type='DecoderDenoiser', num_layers=2, num_heads=4, feedforward_dims=256,
            max_positions=64, local_layers=1),
        decoding=dict(steps=6, certain=0.9)))
