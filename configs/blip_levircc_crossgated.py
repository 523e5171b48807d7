"""BLIP on LEVIR-CC with mutual, difference-gated cross-attention between the dates."""
_base_ = './blip_levircc.py'
model = dict(fusion=dict(_delete_=True, type='CrossGatedFusion', channels=768, num_heads=12))
