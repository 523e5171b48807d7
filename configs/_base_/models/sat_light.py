"""A narrow ResNet-18 and a small attention LSTM: trains on a CPU."""
_base_ = './clipgpt_light.py'
channels = 128
model = dict(caption_head=dict(
    _delete_=True,
    type='AttentionLSTMHead',
    memory_channels=channels,
    embed_dims=channels,
    hidden_dims=256,
    attention_dims=channels,
    dropout=0.2,
    tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_scene_en.json')))
