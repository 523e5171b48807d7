import json

import pytest
from engine.toys import toy_config
from mmengine.config import Config
from torch import nn

from rscc.config.check import check_config, merge_overrides
from rscc.registry import MODELS
from rscc.utils.signatures import keywords_of


@pytest.fixture
def cfg(tmp_path):
    return toy_config(tmp_path / 'run')


def problems_of(cfg, **kwargs):
    with pytest.raises(ValueError, match=r'problems? in the config') as raised:
        check_config(cfg, **kwargs)
    return str(raised.value)


def test_good_config_passes_and_is_not_changed(cfg):
    before = cfg.pretty_text
    check_config(cfg, overrides={'train_dataloader.batch_size': 2})
    assert cfg.pretty_text == before


def test_all_problems_come_at_once_and_numbered(cfg):
    cfg.model.type = 'ToyModl'
    cfg.train_dataloader.dataset.lengths = 3
    cfg.custom_hooks = [dict(type='FreezHook', patterns='x')]
    text = problems_of(cfg, overrides={'train_dataloader.btach_size': 8})
    assert text.startswith("4 problems in the config 'given'") or '4 problems' in text
    for number, said in enumerate([
            r"train_dataloader.btach_size: no such key 'btach_size'", "model.type: no 'ToyModl'",
            'train_dataloader.dataset.lengths: ToyPairs takes no such keyword',
            "custom_hooks.0.type: no 'FreezHook' among the hooks"], 1):
        assert said in text
        assert f'\n  {number}. ' in text
    for nearest in ('batch_size', 'ToyModel', 'length', 'FreezeHook'):
        assert f"Did you mean '{nearest}'?" in text


@pytest.mark.parametrize('place,kind,said', [
    ('train_dataloader.sampler.type', 'DefaultSamplr', "Did you mean 'DefaultSampler'"),
    ('val_evaluator.type', 'ToyMetrc', "Did you mean 'ToyMetric'"),
    ('optim_wrapper.type', 'OptimWrappr', "Did you mean 'OptimWrapper'"),
    ('optim_wrapper.optimizer.type', 'AdamX', "no 'AdamX' among the optimizers"),
    ('optim_wrapper.constructor', 'GroupedConstructr', "Did you mean 'GroupedConstructor'"),
    ('param_scheduler.type', 'WarmupCosinLR', "Did you mean 'WarmupCosineLR'"),
    ('visualizer.type', 'ChangeVisualiser', "Did you mean 'ChangeVisualizer'"),
    ('default_hooks.logger.type', 'LogerHook', "Did you mean 'LoggerHook'"),
    ('train_cfg.type', 'EpochBasedTrainLop', "Did you mean 'EpochBasedTrainLoop'"),
    ('log_processor.type', 'LogProcesor', "Did you mean 'LogProcessor'"),
])
def test_types_are_looked_up_by_position(cfg, place, kind, said):
    text = problems_of(cfg, overrides={place: kind})
    assert f'{place}: ' in text and said in text


def test_transforms_and_tokenizers_have_registries_of_their_own(cfg):
    cfg.train_dataloader.dataset.pipeline = [dict(type='LoadFrame')]
    cfg.model.tokenizer = dict(type='WordTokeniser', words=['a'])
    text = problems_of(cfg)
    assert "Did you mean 'LoadFrames'?" in text and "Did you mean 'WordTokenizer'?" in text


def test_keywords_of_mmsegmentation_heads_are_known(cfg):
    cfg.model = dict(type='ChangeInterpreter', encoder=dict(type='mmseg.ResNet', depth=18),
                     fusion=dict(type='SingleFrame'),
                     change_head=dict(type='mmseg.FCNHead', in_channels=8, channels=8,
                                      num_classes=2, loss_decode=dict(type='CrossEntropyLoss'),
                                      dropout_ration=0.5))
    text = problems_of(cfg)
    assert text.startswith('1 problem ')
    assert ('model.change_head.dropout_ration: FCNHead takes no such keyword' in text
            and "Did you mean 'dropout_ratio'?" in text)


def test_missing_required_keyword_is_named(cfg):
    cfg.custom_hooks = [dict(type='FreezeHook', until_epoch=1)]
    assert "custom_hooks.0: FreezeHook needs 'patterns', found only until_epoch" in problems_of(cfg)


def test_mistyped_option_of_the_checkpoint_hook_is_found(cfg):
    cfg.default_hooks.checkpoint.max_keep_ckpt = 1
    assert "Did you mean 'max_keep_ckpts'?" in problems_of(cfg)


@pytest.mark.parametrize('key,said', [
    ('modle.width', "no such key 'modle'.*Did you mean 'model'?"),
    ('model.widt', "no such key 'widt'.*Did you mean 'width'?"),
    ('custom_hooks.9.interval', r"no item '9' in a list of \d"),
    ('randomness.seed.x', "'randomness.seed' is 0, which has no keys"),
    ('env_cfg.mp_cfg.start', "no such key 'start', expected one of mp_start_method"),
    ('data_root', "no such key 'data_root'"),
])
def test_override_that_nobody_reads_is_refused(cfg, key, said):
    with pytest.raises(ValueError, match=said):
        check_config(cfg, overrides={key: 1})


@pytest.mark.parametrize('key', [
    'strict_load', 'model.seconds', 'train_dataloader.drop_last', 'default_hooks.logger.out_suffix',
    'optim_wrapper.accumulative_counts', 'optim_wrapper.optimizer.eps', 'experiment_name'])
def test_override_that_a_constructor_takes_is_accepted(cfg, key):
    check_config(cfg, overrides={key: 1})


def test_what_another_type_takes_may_be_given_beside_the_type(cfg):
    key = 'optim_wrapper.full_precision'
    with pytest.raises(ValueError, match="no such key 'full_precision'"):
        check_config(cfg, overrides={key: []})
    check_config(cfg, overrides={key: [], 'optim_wrapper.type': 'AutocastOptimWrapper'})
    with pytest.raises(ValueError, match=r"no 'AutocastOptimWraper'.*Did you mean"):
        check_config(cfg, overrides={'optim_wrapper.type': 'AutocastOptimWraper'})


@pytest.fixture
def levir(cfg, tmp_path, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    (tmp_path / 'LEVIR-CC').mkdir()
    (tmp_path / 'LEVIR-CC' / 'LevirCCcaptions.json').write_text(json.dumps({'images': []}))
    for stage in ('train', 'val', 'test'):
        cfg[f'{stage}_dataloader'].dataset = dict(
            type='LEVIRCCDataset', data_root='LEVIR-CC', split=stage, pipeline=[])
    return cfg


def test_data_is_looked_for_where_the_dataset_will(levir, tmp_path):
    check_config(levir)
    (tmp_path / 'LEVIR-CC' / 'LevirCCcaptions.json').rename(tmp_path / 'LevirCCcaptions.json')
    check_config(levir)


def test_missing_folder_of_three_splits_is_one_problem(levir):
    for stage in ('train', 'val', 'test'):
        levir[f'{stage}_dataloader'].dataset.data_root = 'LEVIR_CC'
    text = problems_of(levir)
    assert text.startswith('1 problem ')
    assert 'Set RSCC_DATA or pass --data-root' in text and "Did you mean 'LEVIR-CC'?" in text


def test_missing_annotation_file_is_named_only_for_the_stages_run(levir):
    levir.val_dataloader.dataset.ann_file = 'LevirCCcaption.json'
    text = problems_of(levir)
    assert 'val_dataloader.dataset.ann_file: no file' in text
    assert "Did you mean 'LevirCCcaptions.json'?" in text
    check_config(levir, stages=('test',))


@pytest.mark.parametrize(('name', 'tool'), [
    ('LEVIR-CC/word_encoding.json', 'levircc.py --word-encode writes it'),
    ('synth/vocab_scene_zh.json', 'synth.py writes it'),
    ('UCM/vocab_en.json', 'vocabulary.py writes it')])
def test_what_writes_a_missing_vocabulary_is_named(levir, name, tool):
    levir.model = dict(type='ToyModel', tokenizer=dict(type='WordTokenizer', vocab_file=name))
    assert tool in problems_of(levir)


def test_missing_vocabulary_and_weights_are_named(levir, tmp_path):
    (tmp_path / 'vit.pth').touch()
    levir.model = dict(type='ToyModel', tokenizer=dict(type='WordTokenizer', vocab_file='no.json'),
                       init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'vot.pth')))
    levir.load_from = str(tmp_path / 'gone.pth')
    text = problems_of(levir)
    assert "model.tokenizer.vocab_file: no file 'no.json'" in text
    assert 'model.init_cfg.checkpoint: no checkpoint' in text and "mean 'vit.pth'?" in text
    assert 'load_from: no checkpoint' in text


def test_weights_of_a_teacher_are_missed_where_something_is_trained_and_say_what_writes_them(
        levir, tmp_path):
    levir.load_from = str(tmp_path / 'teacher_blip_synth.safetensors')
    text = problems_of(levir)
    assert 'load_from: no checkpoint at' in text
    assert ("teacher_blip_synth.safetensors'. rscc distil --weights, or python "
            'tools/dataset_converters/distil_captions.py CONFIG CHECKPOINT --num 10 --closest '
            '--weights writes it.') in text
    check_config(levir, stages=())


def test_hub_names_and_addresses_are_left_alone(levir):
    levir.load_from = 'https://example.org/x.pth'
    levir.model = dict(type='ToyModel', init_cfg=dict(type='Pretrained', checkpoint='org/model'))
    check_config(levir)


def test_plain_dicts_are_checked_too(tmp_path):
    with pytest.raises(ValueError, match=r"1 problem in the config 'given'(.|\n)*no 'Nope'"):
        check_config({'model': {'type': 'Nope'}})


def test_all_configs_of_the_project_are_clean_but_for_their_data(repo):
    for path in sorted((repo / 'configs').glob('*.py')):
        try:
            check_config(Config.fromfile(path), stages=())
        except ValueError as error:
            lines = [line for line in str(error).splitlines()[1:]
                     if 'vocab_file' not in line and 'tokenizer_file' not in line]
            assert not lines, f'{path.name}: {error}'


class Base(nn.Module):

    def __init__(self, depth, init_cfg=None):
        super().__init__()


class PassesUp(Base):

    def __init__(self, width, **kwargs):
        kwargs.pop('old_name', None)
        super().__init__(**kwargs)


class KeepsThem(Base):

    def __init__(self, width, **fields):
        super().__init__(1)
        self.fields = dict(fields)


def test_kwargs_are_followed_up_the_classes():
    found = keywords_of(PassesUp)
    assert found.names == {'width', 'depth', 'init_cfg', 'old_name'} and not found.anything
    assert found.required == ['width']
    assert not found.accepts('wdith')


def test_kwargs_used_otherwise_take_anything():
    assert keywords_of(KeepsThem).accepts('whatever')


def test_functions_are_inspected_too():

    def make(a, b=1):
        return a, b

    assert keywords_of(make).names == {'a', 'b'} and keywords_of(make).defaults == {'b': 1}


def test_class_objects_as_types_are_checked(cfg):
    cfg.model = dict(type=MODELS.get('ToyModel'), widt=3)
    assert "Did you mean 'width'?" in problems_of(cfg)


def test_published_annotation_names_are_looked_for_by_language(tmp_path, monkeypatch):
    from rscc.config.data import missing_paths
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    cfg = dict(train_dataloader=dict(dataset=dict(type='UCMCaptionsDataset', language='zh')))
    assert 'no folder' in dict(missing_paths(cfg, ['train']))['train_dataloader.dataset.data_root']
    (tmp_path / 'UCM_captions').mkdir()
    (text,) = dict(missing_paths(cfg, ['train'])).values()
    assert "UCM_captions/dataset_ucm_cn.json'" in text
    (tmp_path / 'dataset_ucm_cn.json').write_text('{}')  # --data-root names the dataset itself
    (tmp_path / 'UCM_captions').rmdir()
    assert not list(missing_paths(cfg, ['train']))


@pytest.fixture
def gpt(cfg):
    cfg.model = dict(type='ChangeInterpreter', caption_head=dict(
        type='PrefixGPTHead', mapper=dict(type='MLPMapper'), decoding=dict(num_beams=3),
        language_model=dict(config=dict(n_embd=8), tune='frozen')))
    return cfg


@pytest.mark.parametrize('key', [
    'decoding.return_attention', 'language_model.lora.r', 'language_model.pretrained',
    'language_model.config.n_inner', 'mapper.hidden_channels'])
def test_overrides_reach_into_parts_without_a_type(gpt, key):
    check_config(gpt, overrides={f'model.caption_head.{key}': 1})


@pytest.mark.parametrize('place, wrong, nearest', [
    ('decoding', 'num_beamz', 'num_beams'), ('language_model', 'tun', 'tune')])
def test_typing_errors_in_parts_without_a_type_are_found(gpt, place, wrong, nearest):
    key = f'model.caption_head.{place}.{wrong}'
    overridden = problems_of(gpt, overrides={key: 3})
    gpt.model.caption_head[place][wrong] = 3
    for text in (overridden, problems_of(gpt)):
        assert f'{key}: ' in text and f"Did you mean '{nearest}'?" in text


@pytest.fixture
def karras(cfg):
    cfg.model = dict(type='ChangeInterpreter', caption_head=dict(
        type='KarrasCaptionHead', density=dict(type='log_uniform', sigma_min=0.1),
        weighting='uniform', denoiser=dict(residual=True), decoding=dict(
            sampler=dict(type='dpmpp_2m_sde', variant='midpoint'), schedule='karras')))
    return cfg


def test_functions_are_chosen_by_name_or_with_options(karras):
    check_config(karras, overrides={
        'model.caption_head.density.sigma_max': 3.0, 'model.caption_head.weighting': 'min_snr',
        'model.caption_head.decoding.sampler': 'heun'})


@pytest.mark.parametrize('place, wrong, said', [
    ('weighting', 'min_sn', "no 'min_sn' among the loss weightings. Did you mean 'min_snr'?"),
    ('density', 'lognorml', "no 'lognorml' among the noise densities. Did you mean 'lognormal'?"),
    ('density.type', 'log_unifrm', "Did you mean 'log_uniform'?"),
    ('decoding.sampler', 'hein', "no 'hein' among the samplers. Did you mean 'heun'?"),
    ('decoding.sampler.type', 'dpmp_2m', "Did you mean 'dpmpp_2m'?"),
    ('decoding.schedule', 'kerras', "no 'kerras' among the sigma schedules. Did you mean 'karras'"),
    ('decoding.sampler.varient', 'heun', "Did you mean 'variant'?"),
    ('density.sigma_mn', 1.0, "expected one of sigma_max, sigma_min. Did you mean 'sigma_min'?"),
    ('decoding.stps', 3, "Did you mean 'steps'?"),
    ('estimat', 'words', "Did you mean 'estimate'?")])
def test_mistyped_functions_of_diffusion_name_the_nearest(karras, place, wrong, said):
    text = problems_of(karras, overrides={f'model.caption_head.{place}': wrong})
    assert text.startswith('1 problem ') and said in text


def test_a_dict_of_numbers_takes_the_place_of_the_one_that_is_there():
    cfg = Config(dict(data=dict(label_map={0: 254, 1: 1, 255: 1}), head=dict(loss=dict(a=1))))
    merge_overrides(cfg, {'data.label_map': {0: 0, 7: 253}, 'head.absent': {254: [1, 3]},
                          'head.loss': dict(b=2), 'data.split': 'val'})
    assert cfg.to_dict() == dict(data=dict(label_map={0: 0, 7: 253}, split='val'), head=dict(
        loss=dict(a=1, b=2), absent={254: [1, 3]}))
    merge_overrides(cfg, None)
    assert cfg.data.split == 'val'
