"""Models in miniature with drawn weights, saved as checkpoints that hold their config."""
import copy

import numpy as np
import torch
from mmengine.config import Config
from testers import WORDS

from rscc.registry import MODELS

RESNET = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4, norm_eval=False)
LOSS = dict(type='CrossEntropyLoss')
WORDS_ONLY = dict(type='WordTokenizer', words=WORDS)
BACKBONE = dict(type='BackboneEncoder', backbone=RESNET, token_level=2, out_channels=16,
                embed_dims=16, position=True)
FPN = dict(type='mmseg.FPNHead', in_channels=[12, 24, 48, 96], in_index=[0, 1, 2, 3],
           feature_strides=[4, 8, 16, 32], channels=4, num_classes=3, dropout_ratio=0.0,
           norm_cfg=dict(type='BN'), loss_decode=LOSS)
BLIP = dict(type='BlipCaptionHead', memory_channels=16, max_tokens=8, tokenizer=WORDS_ONLY,
            config=dict(hidden_size=16, num_hidden_layers=2, intermediate_size=16,
                        num_attention_heads=2, max_position_embeddings=24,
                        initializer_range=0.4))
BILINGUAL = dict(BLIP, tokenizer=dict(type='BilingualWordTokenizer', words=[
    '<pad>', '<unk>', '<start>', '<end>', '<en>', *WORDS,
    '<zh>', '新建', '了', '一栋', '房屋', '没有', '变化']))
LSTM = dict(type='AttentionLSTMHead', memory_channels=16, embed_dims=8, hidden_dims=8,
            attention_dims=8, max_tokens=8, tokenizer=WORDS_ONLY)
GPT = dict(type='PrefixGPTHead', memory_channels=16, source='tokens', prefix_length=3,
           max_tokens=8, mapper=dict(type='TransformerMapper', num_layers=1, num_heads=2),
           language_model=dict(tune='full', config=dict(
               n_embd=8, n_layer=2, n_head=2, n_positions=32, initializer_range=0.4)),
           tokenizer=WORDS_ONLY)
FLAG = dict(type='ChangeFlagHead', in_channels=48)
FUSION = dict(type='DifferenceFusion', channels=16, zero_init=False, position=True)
JOINT = dict(type='ChangeInterpreter', encoder=BACKBONE, fusion=FUSION, change_head=FPN,
             caption_head=BLIP, flag_head=FLAG)
SEMANTIC = dict(type='ChangeInterpreter', encoder=BACKBONE, fusion=FUSION, change_head=dict(
    type='SemanticChangeHead', date_channels='auto', in_index=[0, 1, 2, 3], channels=8,
    num_semantic_classes=3, same_class=False))
SINGLE = dict(type='ChangeInterpreter', encoder=BACKBONE, fusion=dict(type='SingleFrame'))
VIT_ENCODER = dict(type='BlipViT', config=dict(
    hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=64,
    patch_size=16))
CHANGECLIP = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(type='ChangeDataPreprocessor', size_divisor=32, channels_last=True,
                           mean=(0.481, 0.458, 0.408), std=(0.269, 0.261, 0.276)),
    encoder=dict(type='CLIPResNet', layers=(1, 1, 1, 1), width=8, heads=4, output_dim=16,
                 input_resolution=64),
    prompter=dict(type='FixedPrompts', names=('building', 'road')),
    fusion=dict(type='LanguageGuidedFusion', in_channels=(32, 64, 128, 256), text_channels=16,
                score_level=3, channels=8, reduction=4, gamma=0.1,
                context_decoder=dict(width=8, heads=2, layers=1), prompt_encoder=dict(
                    contexts=2, text_encoder=dict(type='CLIPTextEncoder', width=16, heads=2,
                                                  layers=1, embed_dim=16))),
    change_head=dict(type='SwinTextHead', text_channels=16, in_channels=8, channels=8, groups=2,
                     rank=4, window=4, dropout=0.0, drop_path=0.0, loss_decode=LOSS))


def save(path, model, steps=(), task='pair', image_size=(64, 64), **meta):
    """Save a checkpoint of a model with drawn weights; ``steps`` prepare its images."""
    cfg = Config(dict(model=copy.deepcopy(dict(
        dict(data_preprocessor=dict(type='ChangeDataPreprocessor')), **model)),
        test_dataloader=dict(dataset=dict(
            type='LEVIRMCIDataset', data_root='nowhere',
            pipeline=[dict(type='LoadFrames'), *steps, dict(type='PackChangeInputs')]))))
    torch.manual_seed(0)
    built = MODELS.build(copy.deepcopy(cfg.model)).eval()
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if parameter.ndim == 1 and ('bias' in name or 'norm' in name.lower()):
                parameter.add_(0.1 * torch.randn_like(parameter))
    if built.change_head is not None and not (built.prompter and built.prompter.needs_images):
        balance(built)
    facts = {'task': task, 'language': 'en', 'image_size': image_size,
             'no_change_captions': ('no change', ), **meta}
    torch.save({'meta': {'cfg': cfg.pretty_text, 'dataset_meta': facts},
                'state_dict': built.state_dict()}, path)
    return path


@torch.no_grad()
def balance(model):
    """Shift the scores of the classes so that each wins somewhere: masks of one class tell little.
    """
    frames = np.stack([np.stack(frames) for frames in windows(4, 64, 64)])
    pixels = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).contiguous()
    inputs = model.data_preprocessor(dict(inputs=list(pixels)))['inputs']
    scores = model(inputs)['change_logits']
    last = getattr(model.change_head, 'conv_seg', None) or model.change_head.classify
    # Of a head with class maps, the channels of its change map come first.
    last.bias -= scores.median(-1).values.median(-1).values.mean(0)[:len(last.bias)]


def windows(count, height, width, dates=2, seed=0):
    """Drawn windows, smooth enough to differ by more than noise."""
    import cv2
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (count, dates, 6, 6, 3), dtype=np.uint8)
    return [[cv2.resize(frame, (width, height)) for frame in dates] for dates in coarse]
