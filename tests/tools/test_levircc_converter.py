"""The converter as people run it, read back by the dataset class."""
import importlib.util

import pytest

from rscc.datasets.hdf5 import HDF5CaptionDataset

pytest.importorskip('h5py')
PIPELINE = [{'type': 'LoadFrames'}, {'type': 'PackChangeInputs'}]


def load(path):
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def levir(tmp_path, repo):
    fakes = load(repo / 'tests' / 'datasets' / 'conftest.py')
    return fakes.make_levir(tmp_path / 'LEVIR', pairs=2)


def convert(repo, *arguments):
    load(repo / 'tools/dataset_converters/levircc.py').main([str(part) for part in arguments])


@pytest.mark.parametrize(('variant', 'options', 'base'), [
    ('blip', [], 'LEVIR_CC'),
    ('tutorial', ['--min-word-freq', '0'], 'LEVIR_CC_5_cap_per_img_0_min_word_freq'),
])
def test_every_split_is_written_and_reads_back(repo, levir, tmp_path, capsys, variant, options,
                                               base):
    out = tmp_path / 'out'
    convert(repo, '--root', levir, '--out', out, '--variant', variant, *options)
    assert f'TEST_IMAGES_{base}.hdf5' in capsys.readouterr().out
    for split in ('train', 'val', 'test'):
        dataset = HDF5CaptionDataset(str(out), variant=variant, base_name=base, split=split,
                                     pipeline=PIPELINE)
        flags = [dataset[idx]['data_samples'].gt_change_flag for idx in range(2)]
        assert flags == [True, False] and dataset[0]['inputs'].shape == (2, 3, 32, 32)


def test_a_missing_dataset_is_one_line_and_nothing_is_written(repo, tmp_path):
    with pytest.raises(SystemExit, match=r'^error: LEVIR-CC annotations not found'):
        convert(repo, '--root', tmp_path / 'nowhere', '--out', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('variant', ['blip', 'tutorial'])
def test_a_damaged_image_leaves_nothing_behind(repo, levir, tmp_path, variant):
    image = next((levir / 'images/train/A').iterdir())
    image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(SystemExit, match=rf"^error: sample '{image.stem}': .*cannot be decoded"):
        convert(repo, '--root', levir, '--out', tmp_path / 'out', '--variant', variant)
    assert not list((tmp_path / 'out').iterdir())


def test_words_are_encoded_without_images_into_the_datasets_folder(repo, levir, capsys):
    import shutil

    from rscc.text import WordTokenizer
    shutil.rmtree(levir / 'images')
    convert(repo, '--root', levir, '--word-encode')
    tokenizer = WordTokenizer(levir / 'word_encoding.json')
    said = capsys.readouterr().out
    assert f'{tokenizer.vocab_size} entries, {tokenizer.max_tokens + 2} ids a caption' in said
    assert 'train: 2 images, 10 captions, the longest' in said
    assert (levir / 'vocab.json').is_file() and (levir / 'val_caption_encoded.json').is_file()
    assert not list(levir.glob('*.hdf5'))


def test_words_of_a_missing_file_are_one_line(repo, levir):
    with pytest.raises(SystemExit, match=r"^error: no annotations at .*Did you mean 'Levir"):
        convert(repo, '--root', levir, '--ann-file', 'LevirCCcaption.json', '--word-encode')


@pytest.mark.parametrize(('options', 'message'), [
    (['--word-encode', '--variant', 'tutorial'], '--variant: not with --word-encode'),
    (['--words-from', 'raw', '--out', 'x'], '--words-from: only with --word-encode'),
    ([], '--out is required')])
def test_options_without_effect_are_refused(repo, levir, capsys, options, message):
    with pytest.raises(SystemExit, match='2'):
        convert(repo, '--root', levir, *options)
    assert message in capsys.readouterr().err
