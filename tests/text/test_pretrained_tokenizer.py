import json
import pickle

import pytest

from rscc import compat
from rscc.registry import TOKENIZERS
from rscc.text.pretrained_tokenizer import PretrainedTokenizer, train_byte_pairs

pytest.importorskip('transformers')
ENGLISH = ['a road is built beside the houses', 'the two scenes seem identical'] * 3
CHINESE = ['右上角建成了两座房屋', '道路旁新建了一排房子'] * 3
#: The template of Qwen2.5, without its tools.
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}')
MARKS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']


@pytest.fixture(scope='module')
def lone(tmp_path_factory):
    """A tokenizer.json of its own."""
    path = tmp_path_factory.mktemp('lone') / 'made.json'
    path.write_text(train_byte_pairs([*ENGLISH, *CHINESE], 420), encoding='utf-8')
    return path


def folder_of(lone, target, special=MARKS, plain=(), **told):
    """Make a folder as models have it: more tokens beside the pairs, and what they are for."""
    made = compat.import_transformers().PreTrainedTokenizerFast(tokenizer_file=str(lone), **told)
    made.add_special_tokens(dict(additional_special_tokens=list(special)))
    made.add_tokens(list(plain))
    made.save_pretrained(target)
    return target


@pytest.fixture(scope='module')
def base(lone, tmp_path_factory):
    """As Qwen2.5-0.5B: one token ends texts and fills up, none starts them, chats are known."""
    return folder_of(lone, tmp_path_factory.mktemp('base'), eos_token='<|endoftext|>',
                     pad_token='<|endoftext|>', chat_template=TEMPLATE, plain=['<tool_call>'])


@pytest.mark.parametrize('language, text', [
    ('en', "A t-shaped road , lower-right of the road's end ."), ('zh', '右上角 建成了两座房屋。')])
def test_sentences_survive_the_round_trip(lone, language, text):
    tokenizer = TOKENIZERS.build(dict(
        type='PretrainedTokenizer', tokenizer_file=str(lone), language=language))
    ids = tokenizer.encode(text)
    assert ids[-1] == tokenizer.eos_id == tokenizer.pad_id == 0
    expected = text.lower().replace(' 建', '建').rstrip(' .。')
    assert tokenizer.decode([*ids, 7, 7]) == expected == tokenizer.detokenizer().decode(ids)
    assert (tokenizer.start_ids, tokenizer.lead_ids) == ([], ())


def test_learned_words_are_single_ids(lone):
    english = PretrainedTokenizer(tokenizer_file=lone)
    assert len(english.encode('a road is built')) == 5
    assert len(PretrainedTokenizer(tokenizer_file=lone, language='zh').encode('右上角建成了')) < 8


def test_training_repeats_itself():
    assert train_byte_pairs(ENGLISH, 300) == train_byte_pairs(ENGLISH, 300)
    with pytest.raises(ValueError, match=r'257 byte pairs: 256 entries are the bytes .* least 258'):
        train_byte_pairs(ENGLISH, 257)


def test_an_english_caption_continues_its_prompt(lone):
    bare = PretrainedTokenizer(tokenizer_file=lone)
    prompted = PretrainedTokenizer(tokenizer_file=lone, prompt='the changes : ')
    ids = prompted.encode('a road')
    assert ids[:len(prompted.prompt_ids)] == prompted.start_ids == bare.plain_ids('the changes :')
    assert ids[len(prompted.prompt_ids):] == [*bare.plain_ids(' a road'), 0]
    assert prompted.decode(ids) == prompted.decode(ids[len(prompted.prompt_ids):]) == 'a road'
    broken = PretrainedTokenizer(tokenizer_file=lone, prompt='changes:\n')
    assert broken.encode('a road')[-2:] == [*bare.plain_ids('a road'), 0][-2:]
    chinese = PretrainedTokenizer(tokenizer_file=lone, prompt='变化：', language='zh')
    assert chinese.encode('道路') == [*bare.plain_ids('变化：'), *bare.plain_ids('道路'), 0]


def test_special_tokens_are_found_and_kept_out(base):
    tokenizer = PretrainedTokenizer(base)
    names = tokenizer._tokens.convert_ids_to_tokens(sorted(tokenizer.special_ids))
    assert set(names) == {*MARKS, '<tool_call>'}
    assert tokenizer.eos_id == tokenizer.pad_id == tokenizer.bos_id == tokenizer.unk_id == 0
    assert tokenizer.special_ids.isdisjoint(tokenizer.encode('a <|im_end|> <|endoftext|> b')[:-1])
    assert tokenizer.vocabulary() is None
    chat, plain = tokenizer.vocab_size - 3, tokenizer.plain_ids('a road')
    assert tokenizer.decode([chat, *plain, chat]) == 'a road'


def test_the_end_is_the_users_or_the_tokenizers(base, lone, tmp_path):
    instruct = folder_of(lone, tmp_path / 'instruct', eos_token='<|im_end|>',
                         pad_token='<|endoftext|>')
    ends = PretrainedTokenizer(instruct)
    assert ends._tokens.convert_ids_to_tokens(ends.eos_id) == '<|im_end|>' and ends.pad_id == 0
    chosen = PretrainedTokenizer(base, end='<|im_end|>')
    assert chosen._tokens.convert_ids_to_tokens(chosen.encode('a road')[-1]) == '<|im_end|>'
    with pytest.raises(ValueError, match=r"no token end='<\|im_and\|>'.* mean '<\|im_end\|>'"):
        PretrainedTokenizer(base, end='<|im_and|>')
    nobody = folder_of(lone, tmp_path / 'nobody')
    with pytest.raises(ValueError, match=r'does not say which token ends a text .*im_start'):
        PretrainedTokenizer(nobody)


def test_a_start_token_comes_before_the_image(lone, tmp_path):
    from tokenizers import processors
    llama = compat.import_transformers().PreTrainedTokenizerFast(
        tokenizer_file=str(lone), eos_token='<|endoftext|>', bos_token='<s>')
    bos = llama.bos_token_id
    llama.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A', special_tokens=[('<s>', bos)])
    llama.save_pretrained(tmp_path)
    tokenizer = PretrainedTokenizer(tmp_path)
    assert tokenizer.lead_ids == (bos, ) and tokenizer.bos_id == bos
    assert bos not in tokenizer.encode('a road')


def test_a_chat_puts_the_image_first_in_the_users_turn(base):
    tokenizer = PretrainedTokenizer(base, prompt='what changed?', chat_template=True)
    show = tokenizer._tokens.decode
    assert show(tokenizer.lead_ids) == ('<|im_start|>system\nYou help.<|im_end|>\n'
                                        '<|im_start|>user\n')
    assert show(tokenizer.prompt_ids) == ('\nwhat changed?<|im_end|>\n<|im_start|>assistant\n')
    assert show([tokenizer.eos_id]) == '<|im_end|>'
    assert tokenizer.decode(tokenizer.encode('a road')) == 'a road'
    assert not PretrainedTokenizer(base).lead_ids


def test_a_tokenizer_without_a_template_cannot_chat(lone):
    with pytest.raises(ValueError, match='has no chat template: set chat_template=False'):
        PretrainedTokenizer(tokenizer_file=lone, chat_template=True)


def test_chinese_is_cut_between_characters(lone):
    tokenizer = PretrainedTokenizer(tokenizer_file=lone, language='zh')
    for limit in range(6, 20):
        ids = tokenizer.encode('两幅影像完全没有变化', max_tokens=limit)
        assert len(ids) <= limit + 1 and '\ufffd' not in tokenizer._tokens.decode(ids)
        assert '两幅影像完全没有变化'.startswith(tokenizer.decode(ids))


def test_a_lone_file_travels_as_its_lines(lone):
    tokenizer = PretrainedTokenizer(tokenizer_file=lone)
    again = PretrainedTokenizer(words=tokenizer.vocabulary())
    assert again.encode('a road is built') == tokenizer.encode('a road is built')
    assert pickle.loads(pickle.dumps(again)).decode(again.encode('a road')) == 'a road'


def test_tokens_of_another_kind_have_no_table(tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    made = Tokenizer(models.WordLevel({'<end>': 0, '▁a': 1, '▁road': 2, '<unk>': 3},
                                      unk_token='<unk>'))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    made.save(str(tmp_path / 'words.json'))
    tokenizer = PretrainedTokenizer(tokenizer_file=tmp_path / 'words.json', end='<end>',
                                    prompt='road')
    assert tokenizer.encode('a road') == [2, 1, 2, 0]  # its blanks are its own
    assert tokenizer.decode([1, 2, 0]) == 'a road' and tokenizer.detokenizer() is None


@pytest.mark.parametrize('options, error, message', [
    ({}, ValueError, 'one of pretrained, tokenizer_file and words, and got none'),
    (dict(pretrained='a', words=['b']), ValueError, 'and got pretrained, words'),
    (dict(pretrained='/no/such'), FileNotFoundError, "no folder '/no/such': give a folder with"),
    (dict(tokenizer_file='none.json'), FileNotFoundError, 'no tokenizer at .*vocabulary.py --byte'),
    (dict(words=['{"model":', '3}']), ValueError, 'no tokenizer.json of the tokenizers library'),
])
def test_what_is_no_tokenizer_is_told(options, error, message):
    with pytest.raises(error, match=message):
        PretrainedTokenizer(**options)


def test_folders_and_names_without_a_tokenizer_are_told(tmp_path, monkeypatch):
    (tmp_path / 'vocab.json').write_text('{}')
    with pytest.raises(FileNotFoundError, match=r'no tokenizer.json \(found: vocab.json\).*Byte'):
        PretrainedTokenizer(tmp_path)
    (tmp_path / 'tokenizer.json').write_text(json.dumps(dict(model=3)))
    with pytest.raises(ValueError, match=r'or a damaged one .*download or make it again'):
        PretrainedTokenizer(tmp_path)
    monkeypatch.setattr(compat, 'hub_in_reach', lambda: False)
    with pytest.raises(FileNotFoundError, match=r"no tokenizer 'Some/Model': .*out of reach"):
        PretrainedTokenizer('Some/Model')
