"""Any config becomes a model offline, with batches that train all its heads."""
import pytest
import torch

from rscc.compat import import_transformers
from rscc.registry import TOKENIZERS
from rscc.text.class_names import class_names
from tools.benchmark.benchmarked_model import load_model, read_plan
from tools.benchmark.fakes import (
    BERT_PIECES,
    NAMED,
    NumberedWords,
    noise_batch,
    pretrained_sources,
    replace_pretrained,
)


def test_a_pretrained_captioner_is_built_without_a_hub(blip, narrow, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    found = load_model(blip, random_weights=True, size=32, cfg_options=narrow)
    assert found.frames == 2 and found.size == (32, 32)
    assert found.network.caption_head.tokenizer.vocab_size == BERT_PIECES + 2
    every, trained = found.parameters
    assert every == trained == sum(weight.numel() for weight in found.network.parameters())
    assert found.held_bytes >= 4 * every


def test_the_light_model_needs_neither_data_nor_vocabulary(light):
    found = load_model(light, random_weights=True)
    assert found.size == (128, 128)  # that of the config's frame cache
    assert 'building' in found.network.caption_head.tokenizer.vocabulary()


def test_single_images_have_one_frame(repo, narrow):
    options = {key: value for key, value in narrow.items() if 'memory_channels' in key}
    found = load_model(str(repo / 'configs/blip_rsicd.py'), random_weights=True, size=32,
                         cfg_options=options)
    batch = found.batch(2)
    assert found.frames == 1 and batch['inputs'][0].shape == (1, 3, 32, 32)
    assert 'gt_change_flag' not in batch['data_samples'][0]


def test_a_batch_has_every_target_of_the_model(light):
    found = load_model(light, random_weights=True, size=64)
    batch = found.batch(3, captions=5)
    assert [frame.shape for frame in batch['inputs']] == [(2, 3, 64, 64)] * 3
    assert all(len(sample.target_captions) == 5 for sample in batch['data_samples'])
    assert [sample.gt_change_flag for sample in batch['data_samples']] == [True, False, True]
    losses = found.network(**found.network.data_preprocessor(batch, True), mode='loss')
    assert {name.split('.')[0] for name in losses} == {'change', 'caption', 'flag'}
    assert torch.equal(found.batch(1)['inputs'][0], found.batch(1)['inputs'][0])


def test_a_detector_needs_no_weights_no_data_and_no_captions(changeclip, narrow_clip, monkeypatch,
                                                             tmp_path):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    found = load_model(changeclip, random_weights=True, cfg_options=narrow_clip)
    assert found.frames == 2 and found.size == (256, 256)
    sample = found.batch(2)['data_samples'][1]
    assert 'target_captions' not in sample and 'gt_captions' not in sample
    assert set(sample.gt_sem_seg.data.unique().tolist()) == {0}
    assert sample.gt_change_flag is False


def test_every_date_has_class_names_of_its_own(detector):
    found = load_model(detector, random_weights=True)
    batch = found.batch(2)
    names = [date for sample in batch['data_samples'] for date in sample.prompts]
    assert len(names) == 4 and len({tuple(date) for date in names}) == 4
    assert all(len(set(date)) == 9 and set(date) <= set(class_names('remote_sensing_56'))
               for date in names)
    assert found.batch(2)['data_samples'][0].prompts == names[:2]
    assert found.batch(2, seed=1)['data_samples'][0].prompts != names[:2]
    losses = found.network(**found.network.data_preprocessor(batch, True), mode='loss')
    assert torch.isfinite(losses['change.loss_ce'])


def test_captioners_get_no_class_names(light):
    assert 'prompts' not in load_model(light, random_weights=True).batch()['data_samples'][0]


def test_frames_have_the_size_of_the_last_crop_or_resize(detector):
    assert load_model(detector, random_weights=True).size == (64, 64)
    pipeline = [dict(type='FramesResize', size=96), dict(type='PackChangeInputs')]
    plan = read_plan(detector, cfg_options={'train_dataloader.dataset.pipeline': pipeline})
    assert plan.side == 96


def test_data_inside_wrappers_and_joined_data_are_found(detector):
    single = dict(type='RSICDDataset', data_root='x', pipeline=[])
    joined = dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2,
                                                       dataset=single)], _delete_=True)
    assert read_plan(detector, cfg_options={'train_dataloader.dataset': joined}).frames == 1


def test_configs_that_differ_in_data_and_rates_cost_the_same(detector, repo):
    plan = read_plan(detector)
    for same in ({'optim_wrapper.optimizer.lr': 1.0}, {'train_dataloader.batch_size': 3}):
        assert plan.costs_as(read_plan(detector, cfg_options=same)), same
    for other in ({'optim_wrapper.optimizer.type': 'SGD'}, {'model.change_head.rank': 4},
                  {'optim_wrapper.clip_grad': dict(max_norm=1)}):
        assert not plan.costs_as(read_plan(detector, cfg_options=other)), other
    assert not plan.costs_as(read_plan(detector, size=32))


def test_wrong_settings_are_named(light, tmp_path):
    with pytest.raises(ValueError, match='positive number of pixels, found 0'):
        load_model(light, size=0)
    with pytest.raises(FileNotFoundError, match=r"no vocabulary at '.*none.txt'.*one piece a line"):
        load_model(light, vocab=str(tmp_path / 'none.txt'))
    with pytest.raises(FileNotFoundError, match=r"no config at .* Did you mean '.*blip_synth.py'"):
        load_model(light.replace('synth', 'sinth'))


def test_a_mistake_in_an_override_is_found_before_building(light):
    with pytest.raises(ValueError, match='loss_wieght'):
        load_model(light, random_weights=True,
                     cfg_options={'model.flag_head.loss_wieght': 2.0})


@pytest.mark.slow
def test_the_stand_in_has_the_size_of_the_published_model(blip):
    found = load_model(blip, random_weights=True)
    parts = found.network.encoder, found.network.caption_head
    count = sum(weight.numel() for part in parts for weight in part.parameters())
    assert count / 1e6 == pytest.approx(223.97, abs=0.02)  # BLIP-base at 384 pixels


def test_parts_of_several_published_shapes_get_that_of_their_name():
    backbone = dict(type='TransformersBackbone',
                    pretrained='facebook/mask2former-swin-base-IN21k-cityscapes-semantic')
    assert replace_pretrained(backbone, 'vocab.txt')['config']['embed_dim'] == 128
    head = dict(language_model=dict(pretrained='/models/Qwen2.5-0.5B-Instruct', tune='lora'),
                tokenizer=dict(type='PretrainedTokenizer', pretrained='Qwen/Qwen2.5-0.5B'))
    fake = replace_pretrained(head, 'vocab.txt')
    assert fake['language_model']['config']['num_hidden_layers'] == 24
    assert fake['language_model']['tune'] == 'lora'
    tokenizer = TOKENIZERS.build(fake['tokenizer'])
    assert tokenizer.vocab_size == 151665  # so that the logits are as many as Qwen2.5's
    other = dict(language_model=dict(pretrained='uer/gpt2-chinese-cluecorpussmall'))
    assert replace_pretrained(other, '')['language_model']['config']['model_type'] == 'gpt2'
    with pytest.raises(ValueError, match=r"'TransformersBackbone' with pretrained='convnext'.*"
                       'swin-tiny, swin-base'):
        replace_pretrained(backbone | dict(pretrained='convnext'), 'vocab.txt')


def test_a_language_model_of_half_a_billion_weights_has_its_published_size():
    transformers = import_transformers('models.qwen2')
    with torch.device('meta'):
        shape = dict(NAMED['language_model']['qwen2.5-0.5b'])
        shape.pop('model_type')
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**shape))
    assert sum(weight.numel() for weight in model.parameters()) == 494_032_768


def test_the_sources_of_weights_are_told_without_folders_of_this_machine():
    cfg = dict(encoder=dict(type='TimmEncoder', model='resnet18', pretrained=True),
               backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
               parts=[dict(pretrained='/home/me/clip.pt'), dict(pretrained='RN50:openai'),
                      dict(pretrained='RN50:openai'), dict(pretrained=None)])
    assert pretrained_sources(cfg) == ['resnet18', 'torchvision://resnet50', 'clip.pt',
                                       'RN50:openai']


def test_a_tokenizer_file_of_a_dataset_gives_way_to_made_up_tokens():
    node = dict(type='PretrainedTokenizer', tokenizer_file='synth/tokenizer_zh.json', language='zh')
    tokenizer = TOKENIZERS.build(replace_pretrained(node, 'vocab.txt'))
    assert tokenizer.language == 'zh' and tokenizer.vocab_size == 600


def test_made_up_prompt_tokens_fill_a_row_and_fit_the_table():
    fake = replace_pretrained(dict(type='SiglipTokenizer', pretrained='x', context_length=6), '')
    assert fake == dict(type='NumberedWords', context_length=6)
    words = NumberedWords(context_length=6, vocab_size=50)
    ids = words.batch_encode(['a lake', 'one two three four five six seven'])
    assert ids.shape == (2, 6) and ids.max() < 50
    assert ids[0].tolist()[2:] == [words.eos_id] * 4 and ids[1, -1] == words.eos_id


def test_noise_has_the_bands_of_the_encoder(light):
    model = load_model(light, size=64, random_weights=True)
    model.network.encoder.bands = 4
    batch = noise_batch(model.network, 2, (64, 64))
    assert batch['inputs'][0].shape == (2, 4, 64, 64)
