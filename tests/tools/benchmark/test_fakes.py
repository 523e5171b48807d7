"""What would be downloaded is replaced, and what cannot be is named."""
import pytest

from rscc.registry import MODELS
from tools.benchmark import fakes
from tools.benchmark.fakes import BERT_PIECES, made_up_pieces, replace_pretrained


def test_made_up_pieces_are_as_many_as_berts_and_distinct():
    pieces = made_up_pieces()
    assert len(pieces) == len(set(pieces)) == BERT_PIECES
    assert {'[PAD]', '[SEP]', 'houses', '道'} <= set(pieces)


def test_a_given_vocabulary_is_used(tmp_path):
    replaced = replace_pretrained(dict(type='WordPieceTokenizer', pretrained='hub/name'),
                                  tmp_path / 'vocab.txt')
    assert replaced == dict(type='WordPieceTokenizer', vocab_file=str(tmp_path / 'vocab.txt'))


def test_what_has_no_stand_in_is_named():
    with pytest.raises(ValueError, match=r"no fake is known for 'Other' with "
                                         r"pretrained='a/b': it is none of BlipViT, "
                                         r'BlipCaptionHead, .*nor.*without --random-weights'):
        replace_pretrained(dict(encoder=[dict(type='Other', pretrained='a/b')]), 'vocab.txt')


def test_a_chinese_word_vocabulary_is_replaced_by_a_chinese_one(monkeypatch, tmp_path):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    replaced = replace_pretrained(
        dict(type='WordTokenizer', vocab_file='synth/vocab_zh.json', language='zh'), 'vocab.txt')
    assert 'vocab_file' not in replaced and '建筑' in ''.join(replaced['words'])


def test_parts_whose_shape_the_config_gives_just_lose_their_source():
    model = dict(encoder=dict(type='CLIPResNet', width=8, pretrained='RN50:openai'),
                 fusion=dict(prompt_encoder=dict(text_encoder=dict(
                     type='CLIPTextEncoder', pretrained='clip.pt', embed_dim=32))))
    assert replace_pretrained(model, 'vocab.txt') == dict(
        encoder=dict(type='CLIPResNet', width=8),
        fusion=dict(prompt_encoder=dict(text_encoder=dict(type='CLIPTextEncoder', embed_dim=32))))


def test_the_samples_names_stand_in_for_those_of_a_clip_and_that_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(fakes, 'warn_once', lambda text, level: said.append(text))
    prompter = dict(type='StoredPrompts', fallback=dict(type='CLIPPrompts', pretrained='openai'))
    assert replace_pretrained(prompter, 'vocab.txt') == dict(
        type='StoredPrompts', fallback=dict(type='StoredPrompts'))
    assert len(said) == 1 and 'is not measured' in said[0]


def test_a_language_model_is_replaced_by_a_random_one_of_gpt2s_size():
    head = dict(type='PrefixGPTHead', language_model=dict(pretrained='gpt2', tune='lora'),
                tokenizer=dict(type='BytePairTokenizer', pretrained='gpt2', language='zh'))
    replaced = replace_pretrained(dict(caption_head=head), 'vocab.txt')['caption_head']
    assert replaced['language_model'] == dict(tune='lora', config=dict(
        model_type='gpt2', n_layer=12, n_embd=768, n_head=12, n_positions=1024, vocab_size=50257))
    assert replaced['tokenizer'] == dict(type='WordPieceTokenizer', vocab_file='vocab.txt',
                                         start='[CLS]', language='zh')
    assert head['language_model']['pretrained'] == 'gpt2'


def test_a_random_language_model_and_the_word_pieces_go_together(tmp_path):
    # GPT-2's size in the fields that cost nothing to build, a layer of it in the others.
    small = dict(n_layer=1, n_embd=8, n_head=1, n_positions=64)
    (tmp_path / 'vocab.txt').write_text('\n'.join(made_up_pieces()))
    head = replace_pretrained(dict(
        type='PrefixGPTHead', memory_channels=4, mapper=dict(type='MLPMapper'), max_tokens=20,
        language_model=dict(pretrained='gpt2'),
        tokenizer=dict(type='BytePairTokenizer', pretrained='gpt2', ending=' .')),
        tmp_path / 'vocab.txt')
    head['language_model']['config'] |= small
    built = MODELS.build(head)
    assert built.language_model.vocab_size == 50257 > built.tokenizer.vocab_size == BERT_PIECES
    sentence = 'many houses are built'
    assert built.tokenizer.decode(built.tokenizer.encode(sentence)) == sentence


def test_a_random_language_model_keeps_the_config_that_it_has():
    own = dict(language_model=dict(config=dict(n_layer=2), tune='full'))
    assert replace_pretrained(own, 'vocab.txt') == own


def test_a_diffusing_head_without_its_file_writes_captions_as_long_as_levir_ccs(tmp_path,
                                                                                monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    head = dict(type='KarrasCaptionHead', tokenizer=dict(
        type='WordTokenizer', vocab_file='LEVIR-CC/word_encoding.json'))
    assert replace_pretrained(head, 'vocab.txt')['max_tokens'] == 39
    assert replace_pretrained(dict(head, max_tokens=7), 'vocab.txt')['max_tokens'] == 7
    (tmp_path / 'LEVIR-CC').mkdir()
    (tmp_path / 'LEVIR-CC/word_encoding.json').touch()
    assert 'max_tokens' not in replace_pretrained(head, 'vocab.txt')
