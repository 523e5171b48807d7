"""ChangeCLIP (RemoteCLIP ResNet-50) on WHU-CD."""
_base_ = [
    './_base_/models/changeclip_remoteclip_rn50.py',
    './_base_/datasets/whu_cd.py',
    './_base_/schedules/adamw_poly.py',
    './_base_/runtime_iter.py',
]
train_dataloader = dict(batch_size=20, num_workers=8)
train_cfg = dict(max_iters=20000, val_interval=500)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
default_hooks = dict(checkpoint=dict(interval=10000))
auto_scale_lr = dict(base_batch_size=40)  # two GPUs
