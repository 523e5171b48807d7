"""Caption heads compared: a tiny random Qwen2 that continues a prefix made of the memory."""
_base_ = './compare_prefix_gpt_synth.py'
channels = 128
model = dict(caption_head=dict(language_model=dict(config=dict(
    _delete_=True, model_type='qwen2', hidden_size=channels, intermediate_size=256,
    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, tie_word_embeddings=True))))
