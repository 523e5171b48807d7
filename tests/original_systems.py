"""Toy data, models and weights of the four original systems, as their users have them.

In a workspace the commands of the documentation run as they are written: ``tools`` leads to the
tools, ``configs`` holds configs of the project by their names with models that fit a test, and
``data`` the datasets in the layouts in which they are published.
"""
import ast
import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from changeclip_records import SHARED, TINY, records
from fake_clip import TINY as TEXT
from fake_clip import save_state_dict, tiny_clip
from fake_data import entry, mask_of, write_fake_dataset, write_image
from kdrscc_records import kd_rscc
from mmengine.config import Config
from recordings import tensors
from test_configs import BASE_WIDTH, TINY_WIDTH, shrink
from tokenizers import pre_tokenizers

from rscc import compat
from rscc.importers.clip_gpt import DECODER
from rscc.models.encoders.base import build_encoder
from rscc.registry import MODELS

ROOT = Path(__file__).resolve().parent.parent
SPLITS = ('train', 'val', 'test')
RESNET = {'depth': 18, 'base_channels': 4, 'stem_channels': 4, 'init_cfg': None}
# Lasts one step or one epoch, loads in its own process, needs no Java.
SHORT = {'default_hooks.panels.num_val': 1}
for _loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
    SHORT |= {f'{_loader}.batch_size': 2, f'{_loader}.num_workers': 0,
              f'{_loader}.persistent_workers': False}


class Workspace:
    """A folder in which the commands run.

    Args:
        folder: Where it is made.
        blip: A folder that loads like BLIP-base, as narrow as ``tests/test_configs.py`` makes it.
    """

    def __init__(self, folder, blip):
        self.folder, self.data, self.gpt = folder, folder / 'data', folder / 'gpt2'
        (folder / 'tools').symlink_to(ROOT / 'tools')
        (folder / 'configs').mkdir()
        self.clip = save_state_dict(tiny_clip(), folder / 'clip.pt')
        save_gpt(self.gpt)
        self.write_configs(blip)
        self.write_data()

    def write_configs(self, blip):
        """Write the configs that the commands name, made small."""
        gpt, clip = str(self.gpt), self.clip
        blip_config = {'RSCC_BLIP': str(blip)}
        self.write_config('blip_levircc', blip_config)
        self.write_config('blip_rsicd', blip_config)
        self.write_config('clipgpt_amht_sydney', {}, {
            'model.encoder': dict(_delete_=True, type='CLIPViT', width=64, layers=2, heads=1,
                                  patch_size=8, output_dim=TEXT['embed_dim'], input_resolution=32,
                                  out_indices=(), pyramid=False, pretrained=clip),
            'model.caption_head.memory_channels': TEXT['embed_dim'],
            'model.caption_head.prefix_length': 3, 'model.caption_head.max_tokens': 8,
            'model.caption_head.mapper': dict(_delete_=True, type='AMHTMapper', num_layers=1,
                                              num_heads=4),
            'model.caption_head.language_model.pretrained': gpt,
            'model.caption_head.tokenizer.pretrained': gpt})
        resnet = {f'model.encoder.backbone.{key}': value for key, value in RESNET.items()}
        self.write_config('sat_r101_ucm', {}, resnet | {
            'model.encoder.pool_tokens': 3, 'model.caption_head.memory_channels': 32,
            'model.caption_head.max_tokens': 8})
        self.write_config('kdrscc_levircc', {}, resnet | {
            'model.encoder.pool_tokens': 14, 'model.caption_head.memory_channels': 16,
            'model.caption_head.decoding.steps': 3})
        self.write_config('changeclip_rn50_levircd', {}, self.small_changeclip() | {
            'model.encoder.pretrained': None,
            'model.fusion.prompt_encoder.text_encoder.pretrained': None})

    @staticmethod
    def small_changeclip():
        """Return the options that make a ChangeCLIP as small as its recorded weights."""
        return {key: ast.literal_eval(value) for key, value in (
            option.split('=', 1) for option in [*TINY['rn50_tiny'], *SHARED])}

    def write_config(self, name, variables, changes=None):
        """Write ``configs/NAME.py`` with ``changes``, one epoch or step long."""
        source = ROOT / 'configs' / f'{name}.py'
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in variables.items():
                patch.setenv(variable, value)
            cfg = Config.fromfile(source)
        cfg.merge_from_dict(SHORT | (changes or {}))
        steps = 'max_epochs' if 'max_epochs' in cfg.train_cfg else 'max_iters'
        cfg.train_cfg.update({steps: 1, 'val_interval': 1})
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            for step in loader.dataset.pipeline:
                if step['type'] == 'FramesResize':
                    step['size'] = 32
        for metric in [*cfg.val_evaluator, *cfg.test_evaluator]:
            if metric['type'] == 'CaptionMetric':
                metric['meteor'] = False  # Java takes longer than all the rest
        cfg.model = shrink(cfg.model, name.startswith('blip_'))
        cfg.dump(self.folder / 'configs' / f'{name}.py')

    def write_data(self):
        """Write two samples a split of every dataset, and four folders of pairs."""
        levir = Config.fromfile(ROOT / 'configs/_base_/datasets/levir_cc.py')
        write_fake_dataset(self.data, levir.train_dataloader.dataset, pairs=2)
        single_images(self.data / 'Sydney_captions', 'dataset.json', 'imgs', '.tif')
        single_images(self.data / 'UCM_captions', 'dataset.json', 'imgs', '.tif')
        single_images(self.data / 'RSICD', 'annotations_rsicd/dataset_rsicd.json', 'RSICD_images',
                      '.jpg')
        pairs(self.data / 'LEVIR-CD', ('A', 'B', 'label'), 256, 300)
        pairs(self.data / 'SYSU-CD', ('time1', 'time2', 'label'), 32, 32)
        pairs(self.folder / 'scenes', ('A', 'B'), 64, 80, splits=('',))

    # What users of the originals bring along. Each is written when a command asks for it.

    def embeddings(self):
        """Write the embedding pickle of clipcap_rsic: a row a caption of train."""
        images = json.loads((self.data / 'Sydney_captions/dataset.json').read_text())['images']
        captions = [dict(image_id=image['imgid'], id=5 * image['imgid'] + number,
                         caption=sentence['raw'], filename=image['filename'])
                    for image in images for number, sentence in enumerate(image['sentences'])]
        for row, caption in enumerate(captions):
            caption['clip_embedding'] = row
        rows = torch.arange(len(images), dtype=torch.float16)[:, None].expand(-1, 32)
        path = self.folder / 'clip_emb_ViT-B_32_sydney.pkl'
        path.write_bytes(pickle.dumps(dict(clip_embedding=rows.repeat_interleave(5, 0),
                                           captions=captions)))
        return path

    def evaluation_file(self, split):
        """Write what generate_eval_files.py writes: ``imgid`` -> sentence of one split."""
        images = json.loads((self.data / 'Sydney_captions/dataset.json').read_text())['images']
        path = self.folder / f'sydney_amht_{split}.json'
        path.write_text(json.dumps({str(image['imgid']): 'a house appears .' for image in images
                                    if image['split'] == split}))
        return path

    def clipcap(self):
        """Write a checkpoint of ClipCap: a mapper of two layers beside its GPT-2."""
        library, path = compat.import_transformers('models.gpt2'), self.folder / 'sydney_mlp.pt'
        gpt = library.GPT2LMHeadModel.from_pretrained(self.gpt)
        state = {f'gpt.{name}': value.clone() for name, value in gpt.state_dict().items()}
        torch.manual_seed(0)
        prefix = 3 * TINY_WIDTH
        for number, shape in ((0, (prefix // 2, TEXT['embed_dim'])), (2, (prefix, prefix // 2))):
            state[f'clip_project.model.{number}.weight'] = torch.randn(shape) / 4
            state[f'clip_project.model.{number}.bias'] = torch.randn(shape[0])
        torch.save(state, path)
        return path

    def tutorial(self):
        """Write state dicts of the tutorial's decoder and encoder, and its word map."""
        words = ['<pad>', *(f'w{number}' for number in range(8)), '<unk>', '<start>', '<end>']
        (self.folder / 'WORDMAP.json').write_text(json.dumps(
            {word: number for number, word in enumerate(words)}))
        head = MODELS.build(dict(
            type='AttentionLSTMHead', memory_channels=32, embed_dims=6, hidden_dims=6,
            attention_dims=6, tokenizer=dict(type='WordTokenizer', words=list('abcdefgh'))))
        decoder = {f'{theirs}.{name}': value for theirs, ours in DECODER.items()
                   for name, value in head.get_submodule(ours).state_dict().items()}
        net = build_encoder(dict(type='mmseg.ResNet', **RESNET)).backbone
        places = {'conv1': 0, 'bn1': 1, 'layer1': 4, 'layer2': 5, 'layer3': 6, 'layer4': 7}
        encoder = {f'resnet.{places[part]}.{rest}': value for part, _, rest, value in (
            (*name.partition('.'), value) for name, value in net.state_dict().items())}
        path = self.folder / 'BEST_checkpoint_ucm.pth.tar'
        torch.save(dict(epoch=7, decoder=decoder, encoder=encoder), path)
        return path

    def kd_rscc(self):
        """Write a training file of KD-RSCC for the words that ``--word-encode`` wrote."""
        words = json.loads((self.data / 'LEVIR-CC/word_encoding.json').read_text())['words']
        path, state = self.folder / 'LevirCC_00000010.pth', kd_rscc(len(words))
        torch.save(dict(model=state, model_ema=state, epoch=1, step=10), path)
        return path

    def changeclip(self):
        """Write a released checkpoint of ChangeCLIP, of the recorded miniature."""
        path = self.folder / 'best_mIoU_iter_17000.pth'
        torch.save(dict(state_dict=tensors(records('rn50_tiny') / 'weights.npz'),
                        meta=dict(iter=17000)), path)
        return path

    def moved_tiles(self):
        """Move the tiles; the paths in their confidence files stay those of the old place."""
        return shutil.copytree(self.data / 'LEVIR-CD/cut_data', self.folder / 'moved/cut_data')

    def clip_vit_b_16(self):
        """Write a CLIP with the image tower of ViT-B/16 but few positions and hidden channels."""
        library = compat.import_open_clip('model')
        vision = library.CLIPVisionCfg(layers=12, width=BASE_WIDTH, patch_size=16, image_size=32,
                                       mlp_ratio=1 / 12)
        text = library.CLIPTextCfg(context_length=77, width=TEXT['width'], heads=1, layers=1)
        model = library.CLIP(TEXT['embed_dim'], vision, text, quick_gelu=True)
        return save_state_dict(model.half(), self.folder / 'ViT-B-16.pt')


def save_gpt(folder):
    """Write a folder that loads like GPT-2: every byte, and the full stop behind a blank."""
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), 'Ġ.', '<|endoftext|>']
    library, last = compat.import_transformers('models.gpt2'), len(pieces) - 1
    torch.manual_seed(0)
    library.GPT2LMHeadModel(library.GPT2Config(
        vocab_size=len(pieces), n_embd=TINY_WIDTH, n_layer=1, n_head=4, n_positions=128,
        bos_token_id=last, eos_token_id=last)).save_pretrained(folder)
    (folder / 'vocab.json').write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / 'merges.txt').write_text('#version: 0.2\nĠ .\n')


def single_images(root, annotations, folder, suffix):
    """Write two images a split and their annotations, with the published names."""
    draw, images = np.random.default_rng(0), []
    (root / folder).mkdir(parents=True)
    for number in range(6):
        image = entry(SPLITS[number // 2], number) | {'filename': f'{number + 1}{suffix}'}
        image.pop('filepath')
        images.append(image)
        pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        assert cv2.imwrite(str(root / folder / image['filename']), pixels)
    path = root / annotations
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({'images': images}))


def pairs(root, folders, height, width, splits=SPLITS):
    """Write one pair a split, below folders with the published names."""
    draw = np.random.default_rng(0)
    for split in splits:
        for folder in folders:
            pixels = (mask_of(True, max(height, width), (0, 255))[:height, :width]
                      if folder == 'label' else
                      draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
            write_image(root / split / folder / f'{split or "scene"}_1.png', pixels)
