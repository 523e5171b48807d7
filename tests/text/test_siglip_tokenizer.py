import pytest
import torch
from fake_siglip import save_tokenizer

from rscc import compat
from rscc.text.siglip_tokenizer import SiglipTokenizer

pytest.importorskip('sentencepiece')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('siglip')
    save_tokenizer(folder)
    return folder


def test_ids_are_those_of_transformers_own_tokenizer(folder):
    texts = ['A road, beside a RIVER!', 'forest', '']
    theirs = compat.import_transformers().AutoTokenizer.from_pretrained(folder)(
        texts, padding='max_length', max_length=64, return_tensors='pt')['input_ids']
    assert torch.equal(SiglipTokenizer(folder).batch_encode(texts), theirs)


def test_a_text_ends_once_and_the_end_fills_up(folder):
    tokenizer = SiglipTokenizer(folder, context_length=51)
    ids = tokenizer.batch_encode(['a road'])
    assert ids.shape == (1, 51) and ids[0, -1] == tokenizer.eos_id == tokenizer.pad_id == 1
    assert tokenizer.encode('a road')[-1] == 1 and 1 not in tokenizer.encode('a road')[:-1]


def test_case_and_punctuation_do_not_matter(folder):
    tokenizer = SiglipTokenizer(folder)
    assert tokenizer.encode('A Road, a river.') == tokenizer.encode('a road a river')


def test_a_long_prompt_is_refused_and_not_cut(folder):
    with pytest.raises(ValueError, match=r'a prompt of \d+ tokens does not fit context_length=5'):
        SiglipTokenizer(folder, context_length=5).encode('remote sensing image background objects')


def test_a_single_text_is_refused(folder):
    with pytest.raises(TypeError, match="found the single text 'road'"):
        SiglipTokenizer(folder).batch_encode('road')


def test_a_name_is_the_folder_that_its_variable_names(folder, monkeypatch):
    monkeypatch.setenv('RSCC_GIT_RSCLIP', str(folder))
    assert SiglipTokenizer('git-rsclip').encode('road') == SiglipTokenizer(folder).encode('road')
    monkeypatch.delenv('RSCC_GIT_RSCLIP')
    with pytest.raises(FileNotFoundError, match=r"no SigLIP tokenizer at 'git-rsclip'.*hf download "
                       'lcybuaa/Git-RSCLIP'):
        SiglipTokenizer('git-rsclip')


def test_a_file_of_the_folder_stands_for_it(folder):
    assert SiglipTokenizer(folder / 'spiece.model').vocab_size == SiglipTokenizer(folder).vocab_size


def test_a_folder_without_a_tokenizer_says_what_it_holds(tmp_path):
    (tmp_path / 'config.json').write_text('{}')
    with pytest.raises(FileNotFoundError, match=r'has no spiece\.model, .*\(found: config\.json\)'):
        SiglipTokenizer(tmp_path)


def test_a_damaged_tokenizer_is_named(tmp_path):
    (tmp_path / 'spiece.model').write_bytes(b'<html>404</html>')
    with pytest.raises(ValueError, match=r"spiece\.model' is no SentencePiece model"):
        SiglipTokenizer(tmp_path)
