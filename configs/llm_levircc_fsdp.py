"""A language model that outgrows one GPU, split over all of them by torch's FSDP (LEVIR-CC).

    export RSCC_LLM=Qwen/Qwen2.5-7B
    bash tools/dist_train.sh configs/llm_levircc_fsdp.py 4
    python tools/test.py configs/llm_levircc_fsdp.py work_dirs/llm_levircc_fsdp/epoch_10.pth

Untried on GPUs: only a tiny model on two CPU processes was.
"""
_base_ = './llm_levircc.py'
runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        use_orig_params=True,  # fixed weights and adapters in one part
        mixed_precision=dict(param_dtype='bfloat16', reduce_dtype='float32')))
# A part has one type of weights; it computes in bfloat16 all the same.
model = dict(caption_head=dict(language_model=dict(dtype='float32')))
# Parts are rows of numbers: which of them decay, and the norm of a gradient, cannot be told.
optim_wrapper = dict(optimizer=dict(weight_decay=0.0), clip_grad=None)
# A split model does not validate; see rscc/engine/strategies.py.
train_cfg = dict(val_begin=11)
default_hooks = dict(checkpoint=dict(save_best=None, rule=None), panels=dict(num_val=0))
