"""A small ChangeCLIP that also captions, on the built-in dataset: minutes on two CPU cores."""
_base_ = [
    './_base_/models/changeclip_light.py',
    './_base_/datasets/synth.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
channels = 128  # CLIP's joint space
model = dict(
    # Sentences are written from this fusion of the encoder's tokens; texts guide the maps.
    fusion=dict(memory=dict(
        type='DifferenceFusion', channels=channels, zero_init=False, position=True)),
    # Six classes, the five kinds of change apart, as the sentences tell them.
    change_head=dict(
        num_classes=6,
        loss_decode=dict(class_weight=[0.3, 1.0, 1.0, 1.0, 1.0, 1.0])),
    caption_head=dict(
        type='BlipCaptionHead',
        tokenizer=dict(type='WordTokenizer', vocab_file='synth/vocab_en.json'),
        memory_channels=channels,
        config=dict(
            hidden_size=channels, num_hidden_layers=2, intermediate_size=256,
            num_attention_heads=4, max_position_embeddings=64),
        max_tokens=40),
    flag_head=dict(type='ChangeFlagHead', in_channels=3 * channels, loss_weight=0.5))
train_cfg = dict(max_epochs=4, val_interval=2)
