"""Encoder and fusion that all caption heads of ``compare_*_synth.py`` share; no other head."""
_base_ = './light_cnn.py'
model = dict(
    _delete_=True,
    type='ChangeInterpreter',
    data_preprocessor={{_base_.model.data_preprocessor}},
    encoder={{_base_.model.encoder}},
    fusion={{_base_.model.fusion}})
