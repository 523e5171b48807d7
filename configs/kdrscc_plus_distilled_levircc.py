"""The improved KD-RSCC on LEVIR-CC, taught by a captioner that writes word by word.

The teacher, a trained blip_levircc, first describes the training pairs:
python tools/dataset_converters/distil_captions.py configs/blip_levircc.py CKPT --num 10 --closest
"""
_base_ = './kdrscc_plus_levircc.py'
train_dataloader = dict(dataset={{_base_.taught}})
