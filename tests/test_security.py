"""A checkpoint cannot run a program, whichever part of its config asks for one."""
import contextlib
import importlib.util
import os
import random
import re
import sys
from types import SimpleNamespace

import exploits
import numpy as np
import pytest
import torch
from engine.toys import toy_config
from mmengine.config import Config
from PIL import Image

from rscc.apis import ChangeInferencer
from rscc.apis.launch import build_runner, load_config
from rscc.config import stored
from rscc.engine.checkpoint import read_checkpoint
from rscc.importers.conversion import export_merged, read_state_dicts
from rscc.inference.loading import load_model
from rscc.registry import MODELS, TRANSFORMS


@pytest.fixture
def payloads(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield exploits.payloads(tmp_path)
    exploits.forget_imports()


@pytest.fixture
def ran(tmp_path):
    """Tell whether a payload ran, and make ready for the next."""

    def check():
        exploits.forget_imports()
        path, found = tmp_path / 'ran', (tmp_path / 'ran').exists()
        path.unlink(missing_ok=True)
        return found

    return check


@pytest.fixture(scope='module')
def config(request):
    return exploits.stored_config(request.getfixturevalue('repo'))


@pytest.fixture(scope='module')
def repo():
    from pathlib import Path
    return Path(__file__).resolve().parent.parent


def load(path):
    return load_model(None, path, torch.device('cpu'))


def test_the_payloads_run_where_nothing_stops_them(payloads, ran):
    """So that the tests below cannot pass by themselves."""
    for name, payload in payloads.items():
        if name in ('mmseg scope', 'scope'):
            continue
        with contextlib.suppress(Exception):  # whatever comes after the program has run
            MODELS.build(dict(payload))
        assert ran() or name == 'call by builtins', name


def test_an_honest_checkpoint_is_built(config, tmp_path):
    model = load(exploits.save(config, tmp_path / 'good.pth')).model
    assert model.caption_head is not None and not model.training


@pytest.mark.parametrize('key', exploits.KEYS)
def test_nothing_runs_whichever_part_asks(key, config, payloads, ran, tmp_path):
    for name, payload in payloads.items():
        poisoned = exploits.put(config, key, dict(payload))
        path = exploits.save(poisoned, tmp_path / 'bad.pth')
        if key.endswith('init_cfg'):  # where initial weights come from is left out
            load(path)
        else:
            with pytest.raises(ValueError, match='Only registered classes are built') as refusal:
                load(path)
            assert key.rstrip('.+') in str(refusal.value), name
        assert not ran(), name


@pytest.mark.parametrize('key', ['model.encoder', 'model.encoder.backbone', 'model.fusion',
                                 'model.encoder.backbone.norm_cfg', 'model.change_head.norm_cfg',
                                 'model.caption_head.tokenizer', 'model.neck', 'model.prompter',
                                 'test_dataloader.dataset.pipeline.+'])
def test_the_registries_themselves_import_nothing_while_it_is_built(key, config, payloads, ran,
                                                                    tmp_path, monkeypatch):
    """The second line of defence, with the first one switched off."""
    monkeypatch.setattr(stored, '_refused', lambda values: iter(()))
    for name, payload in payloads.items():
        poisoned = exploits.put(config, key, dict(payload))
        with pytest.raises(Exception):  # noqa: B017 - of many kinds
            ChangeInferencer(None, exploits.save(poisoned, tmp_path / 'bad.pth'), 'cpu')
        assert not ran(), name


def test_classes_of_other_projects_get_no_files_addresses_or_import_paths(config, ran, tmp_path):
    """mmseg's losses unpickle a ``class_weight`` that is a file; transforms build by a name."""
    weights = exploits.pickled(tmp_path)
    loss = dict(type='CrossEntropyLoss', class_weight=str(weights))
    head = dict(type='mmseg.FCNHead', in_channels=24, in_index=1, channels=8, num_classes=2)
    with contextlib.suppress(Exception):
        MODELS.build(head | dict(loss_decode=dict(loss)))
    assert ran(), 'without the check the pickle is read'
    for key, value in (('model.change_head.loss_decode', loss),
                       ('model.change_head.loss_decode.class_weight', 'http://x.org/w.pkl'),
                       ('model.encoder.backbone.style', '../weights.pkl'),
                       ('model.encoder.backbone.norm_cfg', dict(type='BN', target='os.system')),
                       ('test_dataloader.dataset.pipeline.+',
                        dict(type='RandomResize', scale=(8, 8), resize_type='os.system')),
                       ('model.caption_head.config.attn_implementation', 'evil/kernel')):
        path = exploits.save(exploits.put(config, key, value), tmp_path / 'bad.pth')
        with pytest.raises(ValueError, match='may name a file or an address'):
            load(path)
        assert not ran()


def test_names_resolved_by_a_registered_class_are_not_imported(config, payloads, ran, tmp_path):
    cfg = stored.StoredConfig(dict(model={}))
    for name in ('evil_package', 'evil_package.Thing', 'subprocess.check_call'):
        with stored.building(cfg), pytest.raises(Exception, match=re.escape(name)):
            TRANSFORMS.build(dict(type='RandomResize', scale=(8, 8), resize_type=name))
        assert not ran()


@pytest.mark.parametrize('name', ['\\\\server\\share', 'https://x.org/blip', 'x/never-cached'])
def test_a_checkpoint_fetches_nothing_that_the_project_does_not_name(name, config, tmp_path,
                                                                     monkeypatch):
    monkeypatch.setattr('socket.socket.connect', lambda *_: pytest.fail('something is fetched'))
    for key in ('model.encoder', 'model.prompter'):
        cfg = exploits.put(config, key, dict(type='BlipViT', pretrained=name))
        path = exploits.save(cfg, tmp_path / 'bad.pth')
        with pytest.raises(ValueError, match=rf'names the .*\({re.escape(key)}\.pretrained\)'):
            load(path)


def test_a_backbone_of_timm_is_built_without_its_weights(config, tmp_path, monkeypatch):
    monkeypatch.setattr('socket.socket.connect', lambda *_: pytest.fail('something is fetched'))
    backbone = dict(type='mmseg.TIMMBackbone', model_name='resnet18', features_only=True)
    cfg = exploits.put(config, 'model.encoder', dict(type='BackboneEncoder', backbone=backbone))
    for key in ('change_head', 'caption_head'):
        cfg = exploits.put(cfg, f'model.{key}', None)
    cfg = exploits.put(cfg, 'model.fusion', dict(type='DifferenceFusion', channels=512))
    cfg = exploits.put(cfg, 'model.flag_head.in_channels', 3 * 512)
    with pytest.raises(ValueError, match='does not fit the model'):
        load(exploits.save(cfg, tmp_path / 'timm.pth'))
    for name in ('hf_hub:evil/model', 'hf-hub:evil/model', 'local-dir:/tmp'):
        bad = exploits.put(cfg, 'model.encoder.backbone.model_name', name)
        with pytest.raises(ValueError, match='may name a file or an address'):
            load(exploits.save(bad, tmp_path / 'timm.pth'))


@pytest.mark.parametrize('value', ['os.system', dict(type='os.system'), dict(type='eval')])
@pytest.mark.parametrize('key', ['density', 'weighting', 'decoding.sampler', 'decoding.schedule'])
def test_functions_of_the_diffusion_are_chosen_among_the_registered_ones(key, value, config):
    head = dict(type='KarrasCaptionHead', memory_channels=16, decoding=dict(steps=2),
                tokenizer=dict(type='WordTokenizer', words=['a']))
    cfg = exploits.put(exploits.put(config, 'model.caption_head', head),
                       f'model.caption_head.{key}', value)
    with pytest.raises(ValueError, match=rf'model.caption_head.{key}.*is not registered among the'):
        stored.stored_config(dict(meta=dict(cfg=exploits.text_of(cfg))), 'x.pth')


def test_files_of_words_of_each_language_are_said_and_addresses_refused(monkeypatch):
    said = []
    monkeypatch.setattr(stored, 'print_log', lambda line, _: said.append(line))
    files = dict(en='words/en.json', zh='words/zh.json')
    tokenizer = dict(type='BilingualWordTokenizer', vocab_files=files)
    cfg = stored.StoredConfig(dict(model=dict(caption_head=dict(tokenizer=tokenizer))))
    stored.settle_sources(cfg)
    assert said == [f"the checkpoint's config reads '{file}' "
                    f'(model.caption_head.tokenizer.vocab_files.{language})'
                    for language, file in files.items()]
    cfg.model.caption_head.tokenizer.vocab_files.zh = 'http://words.example/zh.json'
    with pytest.raises(ValueError, match=r"names the address 'http.*\.vocab_files\.zh\), which is"):
        stored.settle_sources(cfg)


@pytest.mark.parametrize('seed', range(20))
def test_damaged_texts_end_in_the_documented_error(seed, config):
    small = {key: config[key] for key in ('model', 'test_dataloader', 'default_hooks')}
    text, draw = exploits.text_of(small), random.Random(seed)
    for _ in range(100):
        damaged = list(text)
        for _ in range(draw.randint(1, 3)):
            place, cut = draw.randrange(len(damaged)), draw.randint(0, 40)
            new = draw.choice(['', '(', ')', '{', '[', "'", '=', ',', '\0', '\n', '9' * 5000, '*',
                               '\ud800', 'lambda: 0', '**', 'type', 'None', '-', '.', ':'])
            damaged[place:place + cut] = list(new)
        try:
            stored.stored_config(dict(meta=dict(cfg=''.join(damaged))), 'x.pth')
        except ValueError as error:
            assert "'x.pth'" in str(error)


def test_files_that_are_read_beside_a_checkpoint_are_said(config, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(stored, 'print_log', lambda line, _: said.append(line))
    names = tmp_path / 'classes.txt'
    names.write_text('\n'.join('abcdefghij'))
    cfg = exploits.put(config, 'model.prompter', dict(type='CLIPPrompts', class_names=str(names)))
    assert load(exploits.save(cfg, tmp_path / 'named.pth')).model.prompter.needs_images
    assert said == [f"the checkpoint's config reads '{names}' (model.prompter.class_names)"]
    said.clear()
    cfg = exploits.put(cfg, 'model.prompter.pretrained', 'ViT-B-32:openai')
    load(exploits.save(cfg, tmp_path / 'named.pth'))
    assert said[1:] == ["the checkpoint's config reads 'ViT-B-32:openai' "
                        '(model.prompter.pretrained)']


def test_every_option_of_ours_that_names_a_file_is_known():
    """An option of a new class that takes a path belongs into ``stored._SOURCES``."""
    import inspect

    from rscc.registry import TOKENIZERS
    found = set()
    for registry in (MODELS, TOKENIZERS, TRANSFORMS):
        registry.import_from_location()
        for kind in registry.module_dict.values():
            if kind.__module__.startswith('rscc.'):
                found |= {parameter.name for parameter
                          in inspect.signature(kind.__init__).parameters.values()
                          if 'Path' in str(parameter.annotation)
                          or re.search('file|(?<!drop_)path|pretrain|vectors|folder',
                                       parameter.name)}
    assert found <= set(stored._SOURCES), found - set(stored._SOURCES)


@pytest.mark.parametrize('meta, told', [
    (None, 'does not hold its config'), ({}, 'does not hold its config'), ([1], 'does not hold'),
    (dict(cfg=3), 'is a int, expected its text'), (dict(cfg='a = 1'), 'describes no model'),
    (dict(cfg='model = 3'), 'describes no model'), (dict(cfg='a = {[]: 1}'), 'not readable'),
    (dict(cfg="model = dict(type='SingleFrame')\nfilename = 1"), 'not readable'),
    (dict(cfg='a = ' + '[' * 5000), 'not readable'), (dict(cfg='a = \0'), 'not readable'),
    (dict(cfg='a = ' + '-' * 100_000 + '1'), 'not readable|more than plain'),
    (dict(cfg='a = ' + '9' * 5000), 'not readable'),
    (dict(cfg="model = dict(type='SingleFrame')\ndefault_scope = 'evil'"), "scope: 'evil' is none"),
    (dict(cfg='model = dict(type=3)'), 'model.type: 3 is not registered')])
def test_stored_configs_of_any_kind_are_told_by_one_error(meta, told):
    with pytest.raises(ValueError, match=told) as refusal:
        stored.stored_config(dict(meta=meta), 'x.pth')
    assert "'x.pth'" in str(refusal.value)


def test_a_dataset_of_the_metadata_is_looked_up_and_not_imported(config, payloads, ran, tmp_path):
    path = tmp_path / 'meta.pth'
    exploits.save(config, path)
    checkpoint = read_checkpoint(path)
    checkpoint['meta']['dataset_meta']['dataset_type'] = 'evil_package.Thing'
    torch.save(checkpoint, path)
    load(path)
    assert not ran()


# ---- the commands --------------------------------------------------------------------------------


def test_infer_refuses_in_one_line_each(config, payloads, ran, tmp_path, repo, python):
    cfg = config  # every payload somewhere
    keys = ('model.encoder', 'model.fusion', 'model.caption_head.tokenizer', 'model.neck',
            'model.data_preprocessor', 'test_dataloader.dataset', 'custom_hooks.+', 'optim_wrapper')
    for key, payload in zip(keys, payloads.values(), strict=True):
        cfg = exploits.put(cfg, key, dict(payload))
    path = exploits.save(cfg, tmp_path / 'bad.pth')
    for name in ('before', 'after'):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / f'{name}.png')
    done = python(repo / 'tools/infer.py', path, '--img-from', tmp_path / 'before.png', '--img-to',
                  tmp_path / 'after.png', '--device', 'cpu', cwd=tmp_path,
                  env={**os.environ, 'PYTHONPATH': f'{repo}:{tmp_path}'})
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert (done.stderr + done.stdout).count('is not registered among the') >= len(keys) - 1
    assert not ran()


@pytest.fixture
def toy(tmp_path, payloads, monkeypatch):
    """A trained toy run whose checkpoint carries every trick beside its weights."""
    for name in ('LOCAL_RANK', 'RANK', 'RSCC_DATA'):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / 'run'
    cfg = toy_config(folder, train_cfg={'max_epochs': 1}, experiment_name=f'{tmp_path.name}_a')
    build_runner(cfg).train()
    path = folder / 'epoch_1.pth'
    checkpoint = read_checkpoint(path)
    text = 'model = ' + repr(payloads['subprocess'])
    checkpoint['meta'] |= dict(
        cfg=text, config=f'import pathlib\npathlib.Path({str(tmp_path / "ran")!r}).touch()')
    torch.save(checkpoint, path)
    target = tmp_path / 'toy.py'
    toy_config(folder, train_cfg={'max_epochs': 2},
               experiment_name=f'{tmp_path.name}_b').dump(target)
    yield SimpleNamespace(config=target, checkpoint=path, folder=folder)
    os.environ.pop('LOCAL_RANK', None)


def tool(repo, monkeypatch, name, *arguments):
    spec = importlib.util.spec_from_file_location(f'{name}_tool', repo / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', [f'tools/{name}.py', *map(str, arguments)])
    module.main()


@pytest.mark.parametrize('named', [True, False])
def test_resuming_runs_nothing_of_the_checkpoint(named, toy, ran, repo, monkeypatch):
    resume = ['--resume', toy.checkpoint] if named else ['--resume']
    tool(repo, monkeypatch, 'train', toy.config, *resume, '--work-dir', toy.folder)
    assert (toy.folder / 'epoch_2.pth').is_file() and not ran()


def test_testing_runs_nothing_of_the_checkpoint(toy, ran, repo, monkeypatch, tmp_path):
    tool(repo, monkeypatch, 'test', toy.config, toy.checkpoint, '--work-dir', tmp_path / 'tested')
    assert (tmp_path / 'tested' / 'metrics.json').is_file() and not ran()


def test_converters_run_nothing_of_what_they_read(config, payloads, ran, tmp_path):
    poisoned = exploits.put(config, 'model.fusion', dict(payloads['os.system']))
    path = exploits.save(poisoned, tmp_path / 'bad.pth')
    assert 'state_dict' in read_state_dicts(path)
    with pytest.raises(ValueError, match='has nothing to merge'):
        export_merged(Config(config), path, tmp_path / 'out.pth')
    assert not ran()
    # A file that is a program itself is read as a shell around nothing.
    torch.save(dict(state_dict=exploits.Runs(tmp_path / 'ran')), tmp_path / 'pickled.pth')
    assert read_state_dicts(tmp_path / 'pickled.pth') == {}
    with pytest.raises(ValueError, match='could run code'):
        read_checkpoint(tmp_path / 'pickled.pth')
    assert not ran()


def test_features_take_their_weights_alone(config, payloads, ran, tmp_path):
    from rscc.features.embedder import EncoderEmbedder
    poisoned = exploits.put(config, 'model.encoder', dict(payloads['os.system']))
    path = exploits.save(poisoned, tmp_path / 'bad.pth')
    image = tmp_path / 'image.png'
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(image)
    EncoderEmbedder(Config(config), path, image)
    assert not ran()


def test_words_of_a_checkpoint_are_data_to_a_config_that_the_user_named(toy, ran):
    args = SimpleNamespace(config=str(toy.config), launcher='none', data_root=None, work_dir=None,
                           cfg_options=None, local_rank=0)
    load_config(args, stages=(), checkpoint=str(toy.checkpoint))
    assert not ran()
