"""Any config becomes a model offline, with batches that train all its heads."""
import pytest
import torch

from rscc.apis.benchmark import subject
from rscc.apis.benchmark.subject import load_subject, made_up_pieces, replace_pretrained


def test_a_pretrained_captioner_is_built_without_a_hub(blip, narrow, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    found = load_subject(blip, random_weights=True, size=32, cfg_options=narrow)
    assert found.dates == 2 and found.size == (32, 32)
    assert found.model.caption_head.tokenizer.vocab_size == subject.BERT_PIECES + 2
    every, trained = found.parameters
    assert every == trained == sum(weight.numel() for weight in found.model.parameters())
    assert found.held_bytes >= 4 * every


def test_the_light_model_needs_neither_data_nor_vocabulary(light):
    found = load_subject(light, random_weights=True)
    assert found.size == (128, 128)  # that of the config's frame cache
    assert 'building' in found.model.caption_head.tokenizer.vocabulary()


def test_single_images_have_one_frame(repo, narrow):
    options = {key: value for key, value in narrow.items() if 'memory_channels' in key}
    found = load_subject(str(repo / 'configs/blip_rsicd.py'), random_weights=True, size=32,
                         cfg_options=options)
    batch = found.batch(2)
    assert found.dates == 1 and batch['inputs'][0].shape == (1, 3, 32, 32)
    assert 'gt_change_flag' not in batch['data_samples'][0]


def test_a_batch_has_every_target_of_the_model(light):
    found = load_subject(light, random_weights=True, size=64)
    batch = found.batch(3, captions=5)
    assert [frame.shape for frame in batch['inputs']] == [(2, 3, 64, 64)] * 3
    assert all(len(sample.target_captions) == 5 for sample in batch['data_samples'])
    assert [sample.gt_change_flag for sample in batch['data_samples']] == [True, False, True]
    losses = found.model(**found.model.data_preprocessor(batch, True), mode='loss')
    assert {name.split('.')[0] for name in losses} == {'change', 'caption', 'flag'}
    assert torch.equal(found.batch(1)['inputs'][0], found.batch(1)['inputs'][0])


def test_made_up_pieces_are_as_many_as_berts_and_distinct():
    pieces = made_up_pieces()
    assert len(pieces) == len(set(pieces)) == subject.BERT_PIECES
    assert {'[PAD]', '[SEP]', 'houses', '道'} <= set(pieces)


def test_a_given_vocabulary_is_used(tmp_path):
    replaced = replace_pretrained(dict(type='WordPieceTokenizer', pretrained='hub/name'),
                                  tmp_path / 'vocab.txt')
    assert replaced == dict(type='WordPieceTokenizer', vocab_file=str(tmp_path / 'vocab.txt'))


def test_what_has_no_stand_in_is_named():
    with pytest.raises(ValueError, match=r"no random stand-in is known for 'Other' with "
                                         r"pretrained='a/b' \(known: BlipViT, BlipCaptionHead\)"):
        replace_pretrained(dict(encoder=[dict(type='Other', pretrained='a/b')]), 'vocab.txt')


def test_a_chinese_word_vocabulary_is_replaced_by_a_chinese_one(monkeypatch, tmp_path):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    replaced = replace_pretrained(
        dict(type='WordTokenizer', vocab_file='synth/vocab_zh.json', language='zh'), 'vocab.txt')
    assert 'vocab_file' not in replaced and '建筑' in ''.join(replaced['words'])


def test_wrong_settings_are_named(light, tmp_path):
    with pytest.raises(ValueError, match='positive number of pixels, found 0'):
        load_subject(light, size=0)
    with pytest.raises(FileNotFoundError, match=r"no vocabulary at '.*none.txt'.*one piece a line"):
        load_subject(light, vocab=str(tmp_path / 'none.txt'))
    with pytest.raises(FileNotFoundError, match=r"no config at .* Did you mean '.*blip_synth.py'"):
        load_subject(light.replace('synth', 'sinth'))


def test_a_mistake_in_an_override_is_found_before_building(light):
    with pytest.raises(ValueError, match='loss_wieght'):
        load_subject(light, random_weights=True,
                     cfg_options={'model.flag_head.loss_wieght': 2.0})


@pytest.mark.slow
def test_the_stand_in_has_the_size_of_the_published_model(blip):
    found = load_subject(blip, random_weights=True)
    parts = found.model.encoder, found.model.caption_head
    count = sum(weight.numel() for part in parts for weight in part.parameters())
    assert count / 1e6 == pytest.approx(223.97, abs=0.02)  # BLIP-base at 384 pixels
