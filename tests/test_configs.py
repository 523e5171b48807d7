"""Every config loads, is free of mistakes, and builds a model that learns and answers, shrunken."""
import copy
import inspect
import json
import re
from itertools import combinations
from pathlib import Path

import pytest
import torch
from fake_data import CHANGED, entry, maker_of, options_of, write_fake_dataset
from fake_siglip import save_tokenizer
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from tokenizers import pre_tokenizers

from rscc.apis.launch import read_config
from rscc.compat import import_transformers
from rscc.config.check import check_config
from rscc.inference.loading import load_model
from rscc.models.loss_weighting import learning_heads
from rscc.registry import DATASETS, HOOKS, METRICS, MODELS
from rscc.synth.generator import scene_captions
from rscc.text.pretrained_tokenizer import train_byte_pairs
from rscc.utils import logging

ROOT = Path(__file__).resolve().parent.parent
# Old names of configs; each is another file in two lines and is not built a second time.
ALIASES = sorted(path.name for path in (ROOT / 'configs').glob('*.py')
                 if '_deprecation_' in path.read_text())
CONFIGS = sorted({path.name for path in (ROOT / 'configs').glob('*.py')} - set(ALIASES))
WORDS = ['a', 'house', 'has', 'been', 'built', 'the', 'scene', 'is', 'same', 'as', 'before']
VOCABULARIES = sorted({name for path in (ROOT / 'configs').rglob('*.py') for name in re.findall(
    r"'([\w-]+/vocab\w*_(?:en|zh)\.json)'", path.read_text(encoding='utf-8'))})
BASE_WIDTH, TINY_WIDTH = 768, 48  # both divide by the twelve heads of BLIP-base
# CLIP's towers an eighth as wide, from random weights.
TINY_CLIP = {'CLIPResNet': dict(layers=(1, 1, 1, 1), width=8, pretrained=None),
             'CLIPViT': dict(pretrained=None), 'SiglipViT': dict(pretrained=None)}
TINY_TEXT = dict(width=64, heads=2, layers=1, pretrained=None)


@pytest.fixture(scope='module')
def tiny_blip(tmp_path_factory):
    """A folder that loads like the published BLIP-base, with its layers and heads, but narrow."""
    folder = tmp_path_factory.mktemp('blip')
    pieces = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS]
    (folder / 'vocab.txt').write_text('\n'.join(pieces) + '\n')
    blip = import_transformers('models.blip')
    text = dict(vocab_size=len(pieces) + 2, hidden_size=TINY_WIDTH, encoder_hidden_size=TINY_WIDTH,
                num_hidden_layers=2, num_attention_heads=12, intermediate_size=64,
                bos_token_id=len(pieces), sep_token_id=3, eos_token_id=3, pad_token_id=0)
    vision = dict(hidden_size=TINY_WIDTH, num_hidden_layers=12, num_attention_heads=12,
                  intermediate_size=64, image_size=64, patch_size=16, initializer_range=0.02)
    model = blip.BlipForConditionalGeneration(
        blip.BlipConfig(text_config=text, vision_config=vision, projection_dim=16))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def tiny_gpt(tmp_path_factory):
    """Folders that load like a GPT-2 of byte pairs and one of BERT's pieces, but narrow."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ('gpt2', 'gpt2_zh')}
    letters = sorted(set(pre_tokenizers.ByteLevel.alphabet()))
    vocabulary = {letter: row for row, letter in enumerate([*letters, '<|endoftext|>'])}
    (folders['gpt2'] / 'vocab.json').write_text(json.dumps(vocabulary))
    (folders['gpt2'] / 'merges.txt').write_text('#version: 0.2\n')
    pieces = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *sorted(set(''.join(CHANGED['zh'])))]
    (folders['gpt2_zh'] / 'vocab.txt').write_text('\n'.join(pieces) + '\n')
    gpt2 = import_transformers('models.gpt2')
    for name, size in (('gpt2', len(vocabulary)), ('gpt2_zh', len(pieces))):
        config = gpt2.GPT2Config(vocab_size=size, n_embd=TINY_WIDTH, n_layer=1, n_head=4,
                                 n_positions=128, bos_token_id=size - 1, eos_token_id=size - 1)
        gpt2.GPT2LMHeadModel(config).save_pretrained(folders[name])
    return folders


@pytest.fixture(scope='module')
def tiny_llm(tmp_path_factory):
    """A folder that loads like Qwen2.5 with its tokenizer, but narrow."""
    folder = tmp_path_factory.mktemp('llm')
    lines = train_byte_pairs([*CHANGED['en'], *CHANGED['zh']], 300)
    (folder / 'tokenizer.json').write_text(lines)
    size = len(json.loads(lines)['model']['vocab'])
    qwen2 = import_transformers('models.qwen2')
    qwen2.Qwen2ForCausalLM(qwen2.Qwen2Config(
        vocab_size=size + 7, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=0)).save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def data_home(tmp_path_factory):
    """A folder of datasets that holds nothing but the vocabularies."""
    home = tmp_path_factory.mktemp('data')
    for name in VOCABULARIES:
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(json.dumps(WORDS))
    for language, captions in CHANGED.items():
        (home / f'synth/tokenizer_{language}.json').write_text(train_byte_pairs(captions, 300))
    (home / 'LEVIR-CC/word_encoding.json').write_text(json.dumps(dict(
        format='rscc word encoding', length=41, words=['<pad>', *WORDS, '<unk>', '<start>',
                                                       '<end>'])))
    return home


@pytest.fixture(scope='module')
def built():
    """Answers of :func:`meets` about the models that were built and trained so far."""
    return set()


def shrink(node, published):
    """Divide every width that comes from BLIP-base; models from scratch are small already."""
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = shrink(value, published)
    elif isinstance(node, list | tuple):
        return type(node)(shrink(value, published) for value in node)
    elif published and type(node) is int and node and node % BASE_WIDTH == 0:
        return node // BASE_WIDTH * TINY_WIDTH
    return node


@pytest.fixture
def load(tiny_blip, tiny_gpt, tiny_llm, data_home, monkeypatch, tmp_path):
    """Return a function that reads one config offline."""
    monkeypatch.setenv('RSCC_BLIP', str(tiny_blip))
    monkeypatch.setenv('RSCC_GPT2', str(tiny_gpt['gpt2']))
    monkeypatch.setenv('RSCC_GPT2_ZH', str(tiny_gpt['gpt2_zh']))
    monkeypatch.setenv('RSCC_LLM', str(tiny_llm))
    monkeypatch.setenv('RSCC_DATA', str(data_home))
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')

    def read(name):
        if 'gitrsclip' in name:
            pytest.importorskip('sentencepiece')
            save_tokenizer(tmp_path)
            for variable in ('RSCC_GIT_RSCLIP', 'RSCC_GIT_RSCLIP_BASE'):
                monkeypatch.setenv(variable, str(tmp_path))
        cfg = Config.fromfile(ROOT / 'configs' / name)
        init_default_scope(cfg.default_scope)
        return cfg

    return read


def shrink_clip(model):
    """Narrow published CLIP towers; whatever meets their outputs keeps the config's numbers."""
    tower = MODELS.get(model.encoder.type)
    width = model.encoder.get('width', inspect.signature(tower).parameters['width'].default)
    model.encoder.update(dict(width=width // 8) | TINY_CLIP[model.encoder.type])
    if model.encoder.type == 'SiglipViT' and 'memory_channels' in model.get('caption_head', {}):
        model.caption_head.memory_channels = width // 8  # it has no projection
    if model.encoder.type == 'SiglipViT' and 'text_channels' in model.fusion:
        model.fusion.text_channels = model.change_head.text_channels = width // 8
        model.fusion.prompt_encoder.text_encoder.embed_dim = width // 8
    if 'in_channels' in model.fusion:
        model.fusion.in_channels = [channels // 8 for channels in model.fusion.in_channels]
        model.fusion.prompt_encoder.text_encoder.update(TINY_TEXT)
    return model


def shrink_btc(model):
    """Narrow BTC: a Swin of one block a stage and a narrow decoder, from random weights."""
    model.encoder.backbone.pop('pretrained')
    model.encoder.backbone.config = dict(model_type='swin', embed_dim=8, depths=[1, 1, 1, 1],
                                         num_heads=[1, 2, 2, 2])
    model.change_head.channels = 8
    return model


def shrink_captioner(model):
    """Narrow Chg2Cap and RSICCformer, whose widths are no multiples of BLIP's."""
    wide = model.encoder.backbone
    wide.update(depth=50, base_channels=8, stem_channels=8)
    tokens = 8 * 4 * 2**(len(wide.strides) - 1)  # channels of the last stage
    model.fusion.update(channels=tokens, dims=16, num_heads=2)
    if model.fusion.type == 'Chg2CapFusion':
        model.fusion.update(attention_dims=16, hidden_dims=16)
    memory = 16 * (2 if model.fusion.type == 'RSICCformerFusion' else 1)
    model.caption_head.memory_channels = memory
    model.caption_head.config.update(hidden_size=32, intermediate_size=32)
    return model


def shrunken(cfg, tiny_blip):
    """Return the shrunken model of a config, not yet built."""
    model = copy.deepcopy(cfg.model)
    if model.encoder.type == 'TimmEncoder':
        model.encoder.pretrained = None  # the package of its weights need not be installed
    tokenizer = (model.get('caption_head') or {}).get('tokenizer', {})
    if cfg.load_from == 'rscc-small' and not tokenizer.get('vocab_files'):  # its words
        tokenizer.words = ['<pad>', '<unk>', '<start>', '<end>', '<en>', *WORDS, '<zh>', '房屋']
    if model.encoder.get('backbone', {}).get('type') == 'TransformersBackbone':
        model = shrink_btc(model)
    if model.encoder.type in TINY_CLIP and model.encoder.get('pretrained'):
        model = shrink_clip(model)
    if model.fusion.type in ('Chg2CapFusion', 'RSICCformerFusion') and (
            model.encoder.backbone.depth == 101):
        model = shrink_captioner(model)
    return shrink(model, str(tiny_blip) in str(cfg.model))


def meets(model, cfg, samples):
    """Return a text that is the same for configs of one model, optimizer and form of the samples.

    Their data, rates and lengths of training differ; vocabularies are all the same here, and so is
    what the numbers of an optimizer say of one step.
    """
    optimizer = re.sub(r'\b\d[\d.e-]*\b', '0', cfg.optim_wrapper.to_dict().__repr__())
    words = re.sub(r"'[^']*/vocab\w*_(en|zh)\.json'", r'\1', repr(model.to_dict()))
    forms = [[sample['inputs'].shape, *sorted(
        (key, tuple(value.data.shape) if hasattr(value, 'data') else type(value).__name__)
        for key, value in sample['data_samples'].all_items())] for sample in samples]
    return f'{words} {optimizer} {forms}'


def parts(dataset):
    """Return the datasets of a joined one, else itself."""
    return list(dataset.get('datasets') or [dataset])


def size_for(cfg):
    """Return the smallest side that a config's training takes: its crop, or 64."""
    crops = [step['size'] for step in cfg.train_dataloader.dataset.pipeline
             if step['type'] == 'FramesRandomCrop']
    return max([64, *(side for crop in crops for side in crop)])


def test_the_published_configs_are_there():
    promised = {'blip_levircc.py', 'blip_levirmci.py', 'blip_dubaicc.py', 'blip_rsicd.py',
                'blip_synth.py', 'changeclip_rn50_synth.py', 'kdrscc_levircc.py',
                'kdrscc_plus_levircc.py', 'kdrscc_synth.py', 'kdrscc_faithful_synth.py'}
    promised |= {'changeclip_caption_levirmci.py', 'changeclip_caption_synth.py'}
    promised |= {f'compare_{head}_synth.py' for head in ('attention', 'blip', 'karras', 'llm',
                                                         'prefix_gpt')}
    promised |= {f'changeclip_{tower}_{data}.py' for tower in ('rn50', 'vit')
                 for data in ('sysu', 'levircd', 'levircdplus', 'whucd', 'cdd')}
    promised |= {f'btc_{name}.py' for name in ('synth', 'random_synth', *(
        f'swin_{size}_{data}' for size in 'tb' for data in ('levircd', 'sysu')))}
    promised |= {f'fcsiam_{name}.py' for name in ('diff_levircd', 'conc_levircd', 'diff_synth')}
    promised |= {f'{name}_{data}.py' for name, data in (
        ('chg2cap', 'levircc'), ('rsiccformer', 'levircc'), ('bit', 'levircd'))}
    promised |= {f'{name}_synth.py' for name in ('chg2cap', 'rsiccformer', 'bit')}
    assert promised <= set(CONFIGS)


@pytest.mark.parametrize('name', ALIASES)
def test_an_old_name_gives_the_same_config(load, name):
    new = re.search(r"expected='(\w+\.py)'", (ROOT / 'configs' / name).read_text())[1]
    assert new == name.replace('attend_', 'sat_')
    assert load(name).to_dict() == load(new).to_dict()


def test_training_and_inference_say_that_a_name_is_old(monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(logging, 'warn_once', said.append)
    monkeypatch.chdir(tmp_path)
    old = str(ROOT / 'configs' / ALIASES[0])
    read_config(old)
    with pytest.raises(FileNotFoundError, match='has no checkpoint'):
        load_model(old, None, torch.device('cpu'))
    new = ALIASES[0].replace('attend_', 'sat_')
    assert said == [f"config '{ALIASES[0]}' is now called '{new}'; the old name will be removed in "
                    'rscc 0.3'] * 2


def test_the_configs_called_attend_are_old_names():
    assert len(ALIASES) == 15
    assert all(name.startswith('attend_') for name in ALIASES)


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_has_no_unknown_type_keyword_or_key(load, name):
    check_config(load(name), stages=())


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_says_what_it_is_in_its_first_line(name):
    assert (ROOT / 'configs' / name).read_text().startswith('"""')


@pytest.mark.parametrize('name', CONFIGS)
def test_no_config_selects_and_tests_on_the_same_split(load, name):
    cfg = load(name)
    # Few pairs of the user's own have no validation.
    stages = [stage for stage in ('train', 'val', 'test') if cfg[f'{stage}_dataloader']]
    assert len(stages) == 3 or cfg.load_from == 'rscc-small'
    for stage in stages:
        splits = {part.get('split', 'train') for part in parts(cfg[f'{stage}_dataloader'].dataset)}
        assert splits == {stage}


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_builds_a_model_that_learns_and_predicts_on_its_data(load, tiny_blip, tmp_path,
                                                                      built, name):
    cfg = load(name)
    # Of joined datasets the last, which is written here like that of any other config.
    cfg.train_dataloader.dataset = parts(cfg.train_dataloader.dataset)[-1]
    cfg.train_dataloader.dataset.pop('indices', None)
    own_style = maker_of(options_of(cfg.train_dataloader.dataset)).is_file()
    root = write_fake_dataset(tmp_path, cfg.train_dataloader.dataset, size=size_for(cfg))
    cfg.train_dataloader.dataset.data_root = cfg.test_dataloader.dataset.data_root = str(root)
    train, test = (DATASETS.build(cfg[f'{stage}_dataloader'].dataset) for stage in
                   ('train', 'test'))
    # Files of datasets that are divided by lot are as many as give the test split four.
    assert len(test) == 4 <= len(train)
    batch, asked = [train[0], train[1]], test[0]
    model = shrunken(cfg, tiny_blip)
    if (met := meets(model, cfg, [*batch, asked])) in built:
        return  # another config with this model has learnt from such samples
    built.add(met)
    torch.manual_seed(0)
    model = MODELS.build(model)
    if cfg.optim_wrapper.get('type') == 'DeepSpeedOptimWrapper':  # whose steps its engine does
        cfg.optim_wrapper.type = 'OptimWrapper'
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    logged = model.train().train_step(pseudo_collate(batch), wrapper)
    assert all(torch.isfinite(value).all() for value in logged.values())
    heads = {head for head in ('change', 'caption', 'flag') if cfg.model.get(f'{head}_head')}
    learning = set(learning_heads(model)) if cfg.model.get('freeze') else heads
    assert {key.split('.')[0] for key in logged} == learning | {'loss'}
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    moved = {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    assert moved, 'one step changed nothing'
    assert moved <= trained, f'frozen and yet changed: {sorted(moved - trained)[:3]}'
    (answer,) = model.eval().test_step(pseudo_collate([asked]))
    assert answer.sample_id == asked['data_samples'].sample_id
    if 'caption' in heads:
        assert isinstance(answer.pred_caption, str)
    if 'caption' in heads and cfg.test_dataloader.dataset.type != 'PathListCDDataset':
        dataset = cfg.test_dataloader.dataset
        expected = (scene_captions(entry('test', 0), 'from', dataset.get('language', 'en'))
                    if dataset.type == 'SynthSceneDataset' else
                    CHANGED[dataset.get('language', 'en')])
        assert answer.gt_captions if own_style else answer.gt_captions == expected
    if 'change' in heads:
        assert answer.pred_sem_seg.data.shape == answer.gt_sem_seg.data.shape
    if (cfg.model.get('change_head') or {}).get('type') == 'SemanticChangeHead':
        assert {'change.loss_class', 'change.loss_agreement'} < set(logged)
        assert answer.pred_sem_seg_from.data.shape == answer.gt_sem_seg_from.data.shape
    if 'flag' in heads:
        assert 0.0 <= answer.pred_change_score <= 1.0


def test_compared_heads_share_everything_but_the_head(load):
    configs = [load(name).to_dict() for name in CONFIGS if name.startswith('compare_')]
    heads = [cfg['model'].pop('caption_head') for cfg in configs]
    assert len(configs) == 5
    assert all(one != two for one, two in combinations(heads, 2))
    for cfg in configs:
        cfg.pop('custom_hooks')  # KD-RSCC draws its sentences with averaged weights
        assert cfg == configs[0]
    assert set(configs[0]['model']) == {'type', 'data_preprocessor', 'encoder', 'fusion'}


@pytest.mark.parametrize('name', CONFIGS)
def test_hooks_and_metrics_of_a_config_build(load, name):
    cfg = load(name)
    for hook in [*cfg.default_hooks.values(), *(cfg.get('custom_hooks') or [])]:
        assert HOOKS.build(hook) is not None
    for evaluator in filter(None, (cfg.val_evaluator, cfg.test_evaluator)):
        for metric in evaluator if isinstance(evaluator, list) else [evaluator]:
            assert METRICS.build(metric) is not None


def test_shrinking_leaves_models_from_scratch_alone():
    assert shrink(dict(a=[768, 2304], b=dict(c=30, d=True)), True) == dict(
        a=[48, 144], b=dict(c=30, d=True))
    assert shrink(dict(a=768), False) == dict(a=768)
