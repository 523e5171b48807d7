"""ChangeCLIP (CLIP ResNet-50) on LEVIR-MCI that also captions: masks of roads and buildings, words.

python tools/dataset_converters/vocabulary.py --dataset levirmci
"""
_base_ = [
    './_base_/models/changeclip_rn50.py',
    './_base_/datasets/levir_mci.py',
    './_base_/schedules/adamw_10e.py',
    './_base_/runtime.py',
]
channels = 1024  # CLIP's joint space
model = dict(
    prompter=dict(_delete_=True, type='FixedPrompts', names=('building', 'road')),
    # Sentences are written from this fusion of the encoder's tokens; texts guide the maps.
    fusion=dict(memory=dict(
        type='DifferenceFusion', channels=channels, zero_init=False, position=True)),
    change_head=dict(num_classes=3),
    # The decoder learns its words from random weights, three layers on 10,077 pairs.
    caption_head=dict(
        type='BlipCaptionHead',
        tokenizer=dict(type='WordTokenizer', vocab_file='LEVIR-MCI-dataset/vocab_en.json'),
        memory_channels=channels,
        config=dict(
            hidden_size=512, num_hidden_layers=3, intermediate_size=2048,
            num_attention_heads=8, max_position_embeddings=64),
        label_smoothing=0.1,
        max_tokens=40,
        decoding=dict(num_beams=3)),
    # The losses are summed; model.loss_weighting.type=UncertaintyWeights learns their weights.
    flag_head=dict(type='ChangeFlagHead', in_channels=3 * channels, loss_weight=0.5))
train_cfg = dict(max_epochs=40)
# CLIP's towers move ten times slower than what starts from random weights.
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys={r'text_encoder\.': dict(lr_mult=0.1)}))
