"""A small RSICCformer with masks on the built-in dataset: minutes on two CPU cores.

Encoder, mask head and flag head are those of blip_synth.py; fusion and decoder are RSICCformer's.
"""
_base_ = './blip_synth.py'
model = dict(
    encoder=dict(position=False),  # the fusion has codes of its own
    fusion=dict(
        _delete_=True, type='RSICCformerFusion', channels=128, dims=64, num_heads=4,
        dropout=0.1,  # half, as published, is too much for minutes
        grid=(8, 8)),
    caption_head=dict(config=dict(
        num_hidden_layers=1, hidden_act='relu', intermediate_size=512,
        hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, tie_word_embeddings=False)),
    flag_head=dict(in_channels=192))
