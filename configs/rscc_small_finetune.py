"""rscc-small on about ten labelled pairs of your own: minutes on two CPU cores.

python tools/train.py configs/rscc_small_finetune.py --data-root DIR   # DIR holds A, B and label
"""
_base_ = ['./_base_/models/rscc_small.py', './_base_/datasets/own_pairs.py',
          './_base_/runtime_iter.py']
load_from = 'rscc-small'
strict_load = True
model = dict(
    encoder=dict(pretrained=None),
    # Words come with the weights; no vocabulary is needed.
    caption_head=dict(tokenizer=dict(_delete_=True, type='BilingualWordTokenizer')),
    change_head=dict(
        loss_decode=dict(
            # Most pixels of a few pairs are unchanged: at full weight changes would be missed.
            class_weight=[0.4, 1.0, 1.0, 1.0, 1.0, 1.0],
            # Labels 253, changed, of whatever class; 254, whatever has changed, no building.
            absent={253: (0, ), 254: (1, )})),
    # Fusion and map are learnt. The encoder with its statistics, words and flag stay.
    freeze=[r'^encoder\.', r'^guidance\.', r'^caption_head\.', r'^flag_head\.'])
train_cfg = dict(type='IterBasedTrainLoop', max_iters=300, val_interval=300)
val_cfg = None
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.02, fused=True),
    clip_grad=dict(max_norm=1.0),
    constructor='GroupedConstructor')
param_scheduler = dict(type='WarmupCosineLR', by_epoch=False, warmup=0.1, floor=0.01)
default_hooks = dict(checkpoint=dict(interval=300, save_best=None))
custom_hooks = [dict(type='EMAHook', ema_type='InversePowerEMA', power=0.75, maximum=0.98)]
