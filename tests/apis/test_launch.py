import copy
import re
from types import SimpleNamespace

import pytest
import tiny_models
from fake_data import write_fake_dataset
from mmengine.config import Config
from testers import TINY_INTERPRETER, WORDS
from torch.utils.data import DataLoader

from rscc.apis.launch import (
    check_data,
    check_model,
    complete_loaders,
    draw_predictions,
    dump_predictions,
    finish,
    finish_pictures,
    read_config,
    take_words,
)
from rscc.engine.hooks.panel_hook import PanelHook
from rscc.utils import read_json, write_json


def test_a_config_that_is_not_python_names_file_and_line(tmp_path):
    path = tmp_path / 'broken.py'
    path.write_text('a = 1\nb = = 3\n')
    with pytest.raises(ValueError, match=r"config '.*broken\.py' or one of its _base_ files is not "
                       r"valid Python \(.*line 2: 'b = = 3': invalid syntax\)"):
        read_config(str(path))


def test_a_missing_base_names_both_files_and_the_nearest(tmp_path):
    (tmp_path / 'levir.py').write_text('a = 1\n')
    (tmp_path / 'leaf.py').write_text("_base_ = ['./levirr.py']\n")
    with pytest.raises(FileNotFoundError, match=r"config '.*leaf\.py' is based on '.*levirr\.py', "
                       r"and there is no such file\. Did you mean '.*levir\.py'\?"):
        read_config(str(tmp_path / 'leaf.py'))


@pytest.mark.parametrize('workers', [0, 2])
def test_the_number_of_workers_can_be_changed_alone(workers):
    cfg = Config({'val_dataloader': None, 'train_dataloader': {
        'num_workers': workers, 'persistent_workers': True, 'prefetch_factor': 4}})
    complete_loaders(cfg)
    loader = DataLoader([1, 2], **cfg.train_dataloader)
    assert sorted(int(item) for item in loader) == [1, 2]
    assert loader.persistent_workers == (workers > 0)
    assert loader.timeout == (600 if workers else 0)


def test_drawing_keeps_the_options_of_a_hook_that_the_config_has():
    cfg = Config({'default_hooks': {'panels': {'type': 'PanelHook', 'num_test': 3}}})
    draw_predictions(cfg, 'shown', probabilities=True)
    assert cfg.default_hooks.panels == {'type': 'PanelHook', 'num_test': 3, 'out_dir': 'shown',
                                        'probabilities': True}
    assert 'custom_hooks' not in cfg


def test_drawing_brings_a_hook_where_the_config_has_none():
    cfg = Config({'custom_hooks': [{'type': 'OtherHook'}]})
    draw_predictions(cfg, 'shown')
    assert cfg.custom_hooks == [{'type': 'OtherHook'}, {
        'type': 'PanelHook', 'num_val': 0, 'out_dir': 'shown', 'probabilities': False}]


@pytest.mark.parametrize(('head', 'asked'), [
    (dict(type='BlipCaptionHead'), None), (dict(type='AttentionLSTMHead', decoding={}), None),
    (dict(type='BlipCaptionHead', decoding=dict(return_attention=True)), True),
    (dict(type='BlipCaptionHead', decoding=dict(return_attention=False)), False),
    (dict(type='PrefixGPTHead'), 'absent'), (dict(type='KarrasCaptionHead'), None),
    ({}, 'absent')])
def test_drawing_asks_heads_with_attention_where_they_look(head, asked):
    cfg = Config(dict(model=dict(caption_head=head)))
    draw_predictions(cfg, 'shown')
    found = cfg.model.caption_head.get('decoding', {}).get('return_attention', 'absent')
    assert found == asked
    # The large drawings are for those who ask for them.
    assert cfg.custom_hooks[0].get('drawings', True) == (asked is not None)


def test_predictions_are_collected_before_any_other_metric_computes():
    cfg = Config(dict(test_evaluator=dict(type='CaptionMetric')))
    dump_predictions(cfg, 'p.json', 'best.pth')
    assert [metric.type for metric in cfg.test_evaluator] == ['PredictionDump', 'CaptionMetric']


@pytest.fixture
def tested(tmp_path, monkeypatch):
    """A test that left predictions, with a report that cannot be written."""
    write_json(tmp_path / 'p.json', {'samples': [], 'metrics': {}})

    def fails(*_, **__):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('rscc.visualization.report.write_report', fails)
    return tmp_path


def test_scores_are_written_before_the_report_can_fail(tested, capsys):
    finish({'change/mF1': 0.5}, tested, tested / 'p.json', {'protocol': 'coco', 'language': 'en',
                                                            'tokenizer': 'words'})
    with pytest.raises(OSError, match='No space left on device'):
        finish_pictures(SimpleNamespace(hooks=[]), tested / 'p.json', tested)
    assert read_json(tested / 'metrics.json')['change/mF1'] == 0.5
    assert read_json(tested / 'p.json')['metrics'] == {'change/mF1': 0.5}
    assert 'mF1' in capsys.readouterr().out


def test_missing_pictures_are_an_error_after_everything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr('rscc.visualization.report.write_report', lambda *_, **__: 'r.html')
    write_json(tmp_path / 'p.json', {})
    hook = PanelHook()
    finish_pictures(SimpleNamespace(hooks=[hook]), tmp_path / 'p.json', tmp_path)
    hook.failures += ["'a.png': OSError: full", "'b.png': OSError: full"]
    with pytest.raises(RuntimeError, match=r"2 samples have no pictures in .*first: 'a\.png': OSE"):
        finish_pictures(SimpleNamespace(hooks=[hook]), tmp_path / 'p.json', tmp_path)


def test_the_check_prints_sizes_and_leaves_caches_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    dataset = dict(type='LEVIRCCDataset', data_root='LEVIR-CC', split='train',
                   pipeline=[dict(type='LoadFrames'), dict(type='PackChangeInputs')])
    write_fake_dataset(tmp_path, dataset)
    before = sorted(tmp_path.rglob('*'))
    cached = dict(dataset, cache=dict(size=(8, 8), where=str(tmp_path / 'cache')))
    cfg = Config(dict(train_dataloader=dict(dataset=cached), val_dataloader=None))
    check_data(cfg, ('train', 'val'))
    said, = capsys.readouterr().out.splitlines()
    assert said.startswith('train ') and ' samples of LEVIRCCDataset, the first' in said
    assert sorted(tmp_path.rglob('*')) == before
    cfg.train_dataloader.dataset.data_root = 'gone'
    with pytest.raises(FileNotFoundError, match='not found at'):
        check_data(cfg, ('train',))


def test_the_check_builds_the_model_and_tells_its_size(capsys):
    check_model(Config(dict(model=copy.deepcopy(TINY_INTERPRETER))), start=True)
    assert re.fullmatch(r'model  ChangeInterpreter, 0\.\d M parameters, images normalised as the '
                        r'default says\n', capsys.readouterr().out)


def test_the_check_finds_what_only_the_parts_of_a_model_know():
    model = dict(TINY_INTERPRETER, encoder=dict(type='TimmEncoder', model='convnext_ato'))
    with pytest.raises(ValueError, match="Did you mean 'convnext_atto'"):
        check_model(Config(dict(model=model)), start=True)


@pytest.fixture(scope='module')
def start(tmp_path_factory):
    """Weights of a captioner that knows ``WORDS``."""
    return tiny_models.save(tmp_path_factory.mktemp('tiny') / 'tiny.pth', tiny_models.JOINT)


def words_after(start, **tokenizer):
    cfg = Config(dict(model=dict(caption_head=dict(tokenizer=tokenizer))))
    take_words(cfg, start)
    return cfg.model.caption_head.tokenizer.get('words')


def test_a_training_takes_the_words_of_its_starting_weights_where_files_lack_them(
        start, tmp_path, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    known = words_after(start, type='WordTokenizer')
    assert {*known} >= {*WORDS} and known[0] == '<pad>'
    assert words_after(start, type='WordTokenizer', vocab_file='synth/vocab_en.json') == known
    # A file that is there counts: a training may learn other words.
    write_json(tmp_path / 'vocab_en.json', ['<pad>', 'a'])
    assert words_after(start, type='WordTokenizer', vocab_file='synth/vocab_en.json') is None
    assert words_after(None, type='WordTokenizer') is None
    assert words_after('nowhere.pth', type='WordTokenizer') is None  # the check says it
    assert words_after(start, type='WordTokenizer', words=['a']) == ['a']
    assert words_after(start, type='CLIPTokenizer') is None  # has words of its own


def test_models_without_words_need_none(start):
    cfg = Config(dict(model=dict(change_head=dict(type='x'))))
    take_words(cfg, start)
    assert cfg.model.to_dict() == dict(change_head=dict(type='x'))
