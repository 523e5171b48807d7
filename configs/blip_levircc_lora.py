"""BLIP on LEVIR-CC with low-rank adapters (LoRA): about 1 % of the weights are trained."""
_base_ = './blip_levircc.py'
model = dict(
    lora=dict(
        target_modules=r'.*\.(qkv|projection|query|value|crossattention\.self\.key)',
        r=8,
        lora_alpha=16,
        lora_dropout=0.05,
        # The new parts have no pretrained weights to adapt.
        train=['^fusion', '^flag_head']))
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(custom_keys=dict(_delete_=True)))
