"""A language model that outgrows one GPU, split over all of them by DeepSpeed's ZeRO 3 (LEVIR-CC).

    pip install deepspeed
    RSCC_LLM=Qwen/Qwen2.5-7B bash tools/dist_train.sh configs/llm_levircc_deepspeed.py 4

Untried: DeepSpeed needs GPUs, and this config was only read, never run. Its checkpoints are
folders; zero_to_fp32.py, which DeepSpeed writes into them, makes a file of weights.
"""
_base_ = './llm_levircc_fsdp.py'
strategy = dict(
    _delete_=True,
    type='DeepSpeedStrategy',
    bf16=dict(enabled=True),
    gradient_clipping=1.0,
    inputs_to_half=['inputs'],  # the parts compute in bfloat16
    zero_optimization=dict(
        stage=3, overlap_comm=True, contiguous_gradients=True,
        stage3_gather_16bit_weights_on_model_save=True))
optim_wrapper = dict(_delete_=True, type='DeepSpeedOptimWrapper', optimizer=dict(
    type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=0.0))
