"""The small KD-RSCC with masks, taught by a word-by-word captioner as kdrscc_distilled_synth.py."""
_base_ = './kdrscc_masked_synth.py'
train_dataloader = dict(dataset={{_base_.taught}})
