"""Show, Attend and Tell on LEVIR-CC: the LSTM attends to both dates."""
_base_ = [
    './_base_/models/sat.py',
    './_base_/datasets/levir_cc.py',
    './_base_/schedules/adam_sat.py',
    './_base_/runtime.py',
]
model = dict(
    fusion=dict(_delete_=True, type='ConcatFusion', channels=2048),
    caption_head=dict(tokenizer=dict(vocab_file='LEVIR-CC/vocab_en.json')))
