"""A head of masks for a trained captioner, whose encoder, flag and change map stay as they are.

The teacher, a trained blip_synth, first describes the training pairs and leaves its weights:
python tools/dataset_converters/distil_captions.py configs/blip_synth.py CKPT --weights
"""
_base_ = './kdrscc_masked_distilled_synth.py'
load_from = '{{$RSCC_DATA:data}}/synth/teacher_blip_synth.safetensors'
model = dict(
    freeze=[r'^(?!caption_head\.)'],  # all but the caption head
    caption_head=dict(decoding=dict(steps=6)))
