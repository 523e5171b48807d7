"""The model that comes with rscc, trained on one GPU: 128,000 pairs in large batches.

RSCC_TRAIN=... python tools/train.py configs/rscc_small_gpu.py --amp --resume
"""
_base_ = './rscc_small.py'
# Pairs are made by the CPU: eight processes make about as many as a GPU takes.
train_dataloader = dict(batch_size=64, num_workers=8, persistent_workers=True)
val_dataloader = dict(num_workers=4, persistent_workers=True)
train_cfg = dict(max_iters=2000, val_interval=250)
# Four times the batch, and Adam's rate by its square root.
optim_wrapper = dict(optimizer=dict(lr=2e-3))
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(checkpoint=dict(interval=250))
