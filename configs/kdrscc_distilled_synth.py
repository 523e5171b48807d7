"""The small KD-RSCC taught by a word-by-word captioner: sequence-level distillation.

The teacher, a trained blip_synth, first describes the training pairs:
python tools/dataset_converters/distil_captions.py configs/blip_synth.py CKPT --num 10 --closest
"""
_base_ = './kdrscc_synth.py'
# Always the best sentence; the head draws five noisy copies of it.
train_dataloader = dict(dataset={{_base_.taught}})
