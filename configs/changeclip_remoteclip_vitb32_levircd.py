"""ChangeCLIP (RemoteCLIP ViT-B/32) on LEVIR-CD."""
_base_ = [
    './_base_/models/changeclip_remoteclip_vitb32.py',
    './_base_/datasets/levir_cd.py',
    './_base_/schedules/adamw_poly.py',
    './_base_/runtime_iter.py',
]
train_dataloader = dict(batch_size=12, num_workers=12)
train_cfg = dict(max_iters=40000, val_interval=1000)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
default_hooks = dict(checkpoint=dict(interval=20000))
auto_scale_lr = dict(base_batch_size=24)  # two GPUs
