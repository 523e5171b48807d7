"""The vocabulary and HDF5 tools as people run them."""
import json

import numpy as np
import pytest
from PIL import Image

from rscc.datasets.hdf5 import HDF5CaptionDataset
from rscc.text.pretrained_tokenizer import PretrainedTokenizer
from rscc.text.word_tokenizer import WordTokenizer


@pytest.fixture
def call(load_tool):
    return lambda tool, *arguments: load_tool(f'dataset_converters/{tool}.py').main(
        [str(part) for part in arguments])


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'imgs').mkdir()
    for number in range(3):
        Image.fromarray(np.full((50, 50, 3), 80 * number, np.uint8)).save(
            tmp_path / f'imgs/{number}.tif')
    images = [{'filename': f'{number}.tif', 'split': split, 'sentences': [
        {'raw': 'a road .', 'raw_chinese': '一条道路.###'}] * 5}
        for number, split in enumerate(('train', 'val', 'test'))]
    for name in ('dataset.json', 'dataset_ucm_cn.json'):
        (tmp_path / name).write_text(json.dumps({'images': images}))
    return tmp_path


@pytest.mark.parametrize(('name', 'words'), [('ucm', ['a', 'road']), ('ucm_cn', ['一条', '道路'])])
def test_a_vocabulary_is_written_for_the_tokenizer(call, root, tmp_path, capsys, name, words):
    if name.endswith('_cn'):
        pytest.importorskip('jieba')
    out = tmp_path / 'vocab.json'
    call('vocabulary', '--dataset', name, '--data-root', root, '--out', out)
    assert '2 words of 1 training samples' in capsys.readouterr().out
    call('vocabulary', '--dataset', name, '--data-root', root)
    usual = root / ('vocab_zh.json' if name.endswith('_cn') else 'vocab_en.json')
    assert usual.read_bytes() == out.read_bytes()
    assert json.loads(out.read_text(encoding='utf-8')) == words
    assert WordTokenizer(str(out)).vocab_size == 6


@pytest.mark.parametrize(('name', 'text'), [('ucm', 'a road'), ('ucm_cn', '一条道路')])
def test_a_tokenizer_is_made_of_the_captions(call, root, capsys, name, text):
    call('vocabulary', '--dataset', name, '--data-root', root, '--byte-pairs', 270)
    language = 'zh' if name.endswith('_cn') else 'en'
    path = root / f'tokenizer_{language}.json'
    assert f'byte pairs of 1 training samples  {path}' in capsys.readouterr().out
    tokenizer = PretrainedTokenizer(tokenizer_file=path, language=language)
    assert tokenizer.vocab_size <= 270 and tokenizer.decode(tokenizer.encode(text)) == text
    with pytest.raises(SystemExit, match='leaves out rare words, and byte pairs write every'):
        call('vocabulary', '--dataset', name, '--data-root', root, '--byte-pairs', 270,
             '--min-count', 2)


@pytest.mark.parametrize('variant', ['blip', 'tutorial'])
def test_hdf5_files_read_back(call, root, tmp_path, capsys, variant):
    pytest.importorskip('h5py')
    out = tmp_path / 'out'
    call('hdf5', '--dataset', 'ucm', '--data-root', root, '--out', out, '--size', 32,
         '--variant', variant, '--min-word-freq', 0)
    base = 'ucm' if variant == 'blip' else 'ucm_5_cap_per_img_0_min_word_freq'
    assert f'TEST_IMAGES_{base}.hdf5' in capsys.readouterr().out
    dataset = HDF5CaptionDataset(str(out), variant=variant, base_name=base, split='test',
                                 task='single', pipeline=[{'type': 'LoadFrames'}])
    assert dataset[0]['frames'][0].shape == (32, 32, 3) and dataset[0]['frames'][0].max() == 160
    assert dataset[0]['gt_captions'] == ['a road'] * 5


@pytest.mark.parametrize('tool', ['vocabulary', 'hdf5'])
def test_what_is_wrong_is_one_message(call, root, tmp_path, tool):
    with pytest.raises(SystemExit, match=r"^error: no dataset 'sydny'.*Did you mean 'sydney'\?"):
        call(tool, '--dataset', 'sydny', '--out', tmp_path / 'x')
    assert not (tmp_path / 'x').exists()
