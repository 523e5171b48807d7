import json
import random

import numpy as np
import pytest
from scene_files import write_plain

from rscc.datasets import hdf5_writer
from rscc.datasets.hdf5 import HDF5CaptionDataset
from rscc.datasets.hdf5_writer import encode, five_of, word_map, write_blip, write_tutorial
from rscc.datasets.levir_cc import LEVIRCCDataset
from rscc.datasets.single_image import UCMCaptionsDataset
from rscc.rasters.image_files import read_rgb
from rscc.utils.files import locked

h5py = pytest.importorskip('h5py')
PIPELINE = [{'type': 'LoadFrames'}, {'type': 'PickCaptions', 'mode': 'all'},
            {'type': 'PackChangeInputs'}]
BASE = 'LEVIR_CC_5_cap_per_img_0_min_word_freq'


def splits(levir):
    return [LEVIRCCDataset(str(levir), split=split, pipeline=[{'type': 'LoadFrames'}])
            for split in ('train', 'test')]


@pytest.fixture
def blip(levir, tmp_path):
    write_blip(splits(levir), tmp_path / 'h5')
    return tmp_path / 'h5'


@pytest.fixture
def tutorial(levir, tmp_path):
    write_tutorial(splits(levir), tmp_path / 'h5', min_word_freq=0)
    return tmp_path / 'h5'


def test_the_blip_variant_has_the_originals_layout(blip):
    with h5py.File(blip / 'TRAIN_IMAGES_LEVIR_CC.hdf5') as file:
        assert file['images'].shape == (4, 2, 3, 32, 32) and file['images'].dtype == np.uint8
    data = json.loads((blip / 'TEST_CAPTIONS_LEVIR_CC.json').read_text())
    assert list(data) == [f'image_{row}' for row in range(4)]
    assert set(data['image_1']) == {'captions', 'filename', 'changeflag'}
    assert data['image_1']['changeflag'] == 0 and len(data['image_1']['captions']) == 5


@pytest.mark.parametrize('split', ['train', 'test'])
def test_the_blip_variant_reads_back_what_was_written(levir, blip, split):
    source = LEVIRCCDataset(str(levir), split=split)
    dataset = HDF5CaptionDataset(str(blip), split=split, pipeline=PIPELINE)
    for idx in range(4):
        item, packed = source.get_data_info(idx), dataset[idx]
        sample = packed['data_samples']
        assert sample.sample_id == item['sample_id']
        assert sample.target_captions == item['gt_captions']
        assert sample.gt_change_flag is item['gt_change_flag']
        assert sample.img_path_to.endswith(f'IMAGES_LEVIR_CC.hdf5::{idx}/1')
        for date, key in enumerate(('img_path_from', 'img_path_to')):
            assert np.array_equal(packed['inputs'][date].permute(1, 2, 0).numpy(),
                                  read_rgb(item[key]))


def test_the_tutorial_variant_has_rows_of_52_and_reads_back(levir, tutorial):
    rows = json.loads((tutorial / f'TRAIN_CAPTIONS_{BASE}.json').read_text())
    lengths = json.loads((tutorial / f'TRAIN_CAPLENS_{BASE}.json').read_text())
    words = json.loads((tutorial / f'WORDMAP_{BASE}.json').read_text())
    assert len(rows) == len(lengths) == 20 and {len(row) for row in rows} == {52}
    assert words['a'] == 1 and words['<pad>'] == 0 and words['<end>'] == len(words) - 1
    assert rows[0][0] == words['<start>'] and rows[0][lengths[0] - 1] == words['<end>']
    source = LEVIRCCDataset(str(levir))
    dataset = HDF5CaptionDataset(str(tutorial), variant='tutorial', base_name=BASE,
                                 pipeline=PIPELINE)
    for idx in range(4):
        item, sample = source.get_data_info(idx), dataset[idx]['data_samples']
        assert sorted(sample.gt_captions) == sorted(item['gt_captions'])
        assert sample.sample_id == f'train_{idx:06d}'
        assert sample.gt_change_flag is item['gt_change_flag']


def test_rare_words_become_unk_and_long_captions_are_cut():
    numbers = word_map([['a', 'b', 'a'], ['a', 'b', 'c']], min_word_freq=1)
    assert numbers == {'a': 1, 'b': 2, '<unk>': 3, '<start>': 4, '<end>': 5, '<pad>': 0}
    assert encode(['b', 'zebra'], numbers)[:5] == [4, 2, 3, 5, 0]
    assert len(encode(['a'] * 50, numbers)) == 52


def test_five_captions_are_made_of_fewer_and_of_more():
    few = five_of(['x', 'y'], random.Random(0))
    assert len(few) == 5 and set(few) == {'x', 'y'}
    assert len(set(five_of([str(i) for i in range(9)], random.Random(0)))) == 5


def test_workers_read_the_file_by_themselves(blip):
    from torch.utils.data import DataLoader
    dataset = HDF5CaptionDataset(str(blip), pipeline=PIPELINE)
    alone = [dataset[idx]['inputs'].long().sum() for idx in range(4)]
    loader = DataLoader(dataset, num_workers=2, batch_size=1, collate_fn=list)
    assert [batch[0]['inputs'].long().sum() for batch in loader] == alone


def test_the_cache_serves_hdf5_too(blip):
    plain = HDF5CaptionDataset(str(blip), pipeline=PIPELINE)
    cached = HDF5CaptionDataset(str(blip), pipeline=PIPELINE, cache={'size': None})
    assert (plain[2]['inputs'] == cached[2]['inputs']).all()


def test_unknown_variant_split_and_missing_files_are_named(blip):
    with pytest.raises(ValueError, match=r"variant='tutorail' is unknown.*Did you mean 'tutorial'"):
        HDF5CaptionDataset(str(blip), variant='tutorail')
    with pytest.raises(ValueError, match=r"split 'trian' is unknown.*Did you mean 'train'"):
        HDF5CaptionDataset(str(blip), split='trian')
    with pytest.raises(FileNotFoundError, match=r'not found at .*VAL_CAPTIONS.*#hdf5-files'):
        HDF5CaptionDataset(str(blip), split='val')
    (blip / 'TEST_IMAGES_LEVIR_CC.hdf5').unlink()
    with pytest.raises(FileNotFoundError, match=r'images not found at .*TEST_IMAGES'):
        HDF5CaptionDataset(str(blip), split='test')


def test_files_of_different_makings_are_refused(blip, tutorial):
    path = blip / 'TRAIN_CAPTIONS_LEVIR_CC.json'
    data = json.loads(path.read_text())
    path.write_text(json.dumps({'image_0': data['image_0']}))
    with pytest.raises(ValueError, match=r'holds 4 samples, .*captions of 1'):
        HDF5CaptionDataset(str(blip))
    path.write_text(json.dumps({'image_0': {'captions': ['']}}))
    with pytest.raises(ValueError, match="'image_0' must hold a list of non-empty captions"):
        HDF5CaptionDataset(str(blip))
    path.write_text('[[1, 2]]')
    with pytest.raises(ValueError, match=r"not of the 'blip' variant.*Try variant='tutorial'"):
        HDF5CaptionDataset(str(blip))
    rows = tutorial / f'TRAIN_CAPTIONS_{BASE}.json'
    rows.write_text('{"image_0": []}')
    with pytest.raises(ValueError, match=r"not of the 'tutorial' variant.*Try variant='blip'"):
        HDF5CaptionDataset(str(tutorial), variant='tutorial', base_name=BASE)


def test_a_foreign_hdf5_file_is_refused(blip):
    path = blip / 'TRAIN_IMAGES_LEVIR_CC.hdf5'
    path.write_bytes(b'not hdf5')
    with pytest.raises(ValueError, match=r"no HDF5 file with a dataset 'images'.*levircc.py"):
        HDF5CaptionDataset(str(blip))
    path.unlink()
    with h5py.File(path, 'w') as file:
        file['images'] = np.zeros((4, 3, 8, 8), np.float32)
    with pytest.raises(ValueError, match=r'float32 \(4, 3, 8, 8\); uint8 \(samples, 2, bands, H, '
                       r"W\) was expected\. They are of task='single'\."):
        HDF5CaptionDataset(str(blip))


def test_captions_per_image_must_be_stated(tutorial):
    with h5py.File(tutorial / f'TRAIN_IMAGES_{BASE}.hdf5', 'a') as file:
        del file.attrs['captions_per_image']
    with pytest.raises(ValueError, match="lacks the attribute 'captions_per_image'"):
        HDF5CaptionDataset(str(tutorial), variant='tutorial', base_name=BASE)


def test_pairs_of_several_sizes_are_refused_and_nothing_is_left(levir, tmp_path):
    from PIL import Image
    for folder in ('A', 'B'):
        path = levir / f'images/train/{folder}/train_000003.png'
        Image.open(path).resize((16, 16)).save(path)
    with pytest.raises(ValueError, match=r"'train_000003' is \(16, 16\) \(H, W\), the first one"):
        write_blip(splits(levir), tmp_path / 'h5')
    assert not list((tmp_path / 'h5').glob('*.hdf5')) and not list((tmp_path / 'h5').glob('.*'))


@pytest.fixture
def single(levir, edit_annotations):
    """Single images of two splits, as a dataset of the tutorial's kind."""
    edit_annotations(levir, lambda images: [image.pop('changeflag') for image in images])
    return [UCMCaptionsDataset(str(levir), 'LevirCCcaptions.json', split=split,
                               img_path='images/{split}/A/{filename}',
                               pipeline=[{'type': 'LoadFrames'}, {'type': 'FramesResize',
                                                                  'size': 24}])
            for split in ('train', 'test')]


@pytest.mark.parametrize('variant', ['blip', 'tutorial'])
def test_single_images_are_written_and_read_back(single, tmp_path, variant):
    base = 'ucm_5_cap_per_img_0_min_word_freq'
    if variant == 'blip':
        base = 'ucm'
        write_blip(single, tmp_path, base)
    else:
        write_tutorial(single, tmp_path, 0, 'ucm')
    with h5py.File(tmp_path / f'TRAIN_IMAGES_{base}.hdf5') as file:
        assert file['images'].shape == (4, 3, 24, 24)
        assert file.attrs['captions_per_image'] == 5
    options = dict(variant=variant, base_name=base, pipeline=PIPELINE)
    dataset = HDF5CaptionDataset(str(tmp_path), split='test', task='single', **options)
    assert dataset.metainfo['task'] == 'single'
    for row in range(4):
        packed, source = dataset[row], single[1][row]
        assert packed['inputs'].shape == (1, 3, 24, 24)
        assert np.array_equal(packed['inputs'][0].permute(1, 2, 0), source['frames'][0])
        assert sorted(packed['data_samples'].gt_captions) == sorted(source['gt_captions'])
        assert packed['data_samples'].img_path.endswith(f'::{row}')
        assert 'gt_change_flag' not in packed['data_samples']
    with pytest.raises(ValueError, match=r"\(samples, 2, bands, H, W\).*They are of task='single'"):
        HDF5CaptionDataset(str(tmp_path), split='test', **options)


def test_words_are_counted_on_train_alone_unless_asked(levir, edit_annotations, tmp_path):
    def rename(images):
        for image in images:
            if image['split'] == 'test':
                image['sentences'] = [{'raw': 'zebras appear .'}] * 5

    edit_annotations(levir, rename)
    for folder, count_all in (('a', False), ('b', True)):
        write_tutorial(splits(levir), tmp_path / folder, 0, count_all_splits=count_all)
        words = json.loads((tmp_path / folder / f'WORDMAP_{BASE}.json').read_text())
        assert ('zebras' in words) is count_all
    dataset = HDF5CaptionDataset(str(tmp_path / 'a'), variant='tutorial', base_name=BASE,
                                 split='test')
    assert dataset.get_data_info(0)['gt_captions'] == ['<unk> <unk>'] * 5
    with pytest.raises(ValueError, match=r"words are counted on train, and the splits are "
                       r"\['test'\]: add train, or count all splits"):
        write_tutorial(splits(levir)[1:], tmp_path / 'c', 0)


def test_a_row_without_a_word_is_refused(tutorial):
    path = tutorial / f'TRAIN_CAPTIONS_{BASE}.json'
    rows = json.loads(path.read_text())
    words = json.loads((tutorial / f'WORDMAP_{BASE}.json').read_text())
    rows[3] = [words['<start>'], words['<end>']] + [0] * 50
    path.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match='row 3 holds no word'):
        HDF5CaptionDataset(str(tutorial), variant='tutorial', base_name=BASE)


@pytest.mark.parametrize(('kind', 'data', 'message'), [
    ('WORDMAP', ['a'], r"word map '.*WORDMAP.*' is a list .*an object was expected"),
    ('TRAIN_CAPLENS', {'a': 1}, "not of the 'tutorial' variant"),
    ('TRAIN_CAPTIONS', ['a'] * 20, r"0 is a string \('a'\); a list \(each entry: an integer\)"),
    ('TRAIN_CAPTIONS', [[999]] * 20, r"row 0 has the word number 999, which is not in 'WORDMAP_")])
def test_broken_tutorial_files_name_the_place(tutorial, kind, data, message):
    (tutorial / f'{kind}_{BASE}.json').write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message):
        HDF5CaptionDataset(str(tutorial), variant='tutorial', base_name=BASE)


@pytest.mark.parametrize('number', [0, 3])
def test_captions_per_image_must_divide_the_rows(tutorial, number):
    with h5py.File(tutorial / f'TRAIN_IMAGES_{BASE}.hdf5', 'a') as file:
        file.attrs['captions_per_image'] = number
    with pytest.raises(ValueError, match=rf'captions_per_image={number}, and .* has 20 rows'):
        HDF5CaptionDataset(str(tutorial), variant='tutorial', base_name=BASE)


def test_captions_that_are_cut_or_lose_all_words_are_counted(
        levir, edit_annotations, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(hdf5_writer, 'warn_once', told.append)
    edit_annotations(levir, lambda images: images[0].update(
        sentences=[{'raw': 'zebra'}, {'raw': 'road ' * 60}, *[{'raw': 'a road'}] * 3]))
    write_tutorial(splits(levir)[:1], tmp_path / 'a', min_word_freq=1)
    assert told == [
        "LEVIR-CC, split 'train': 1 of 20 captions are cut to 50 words; the first: "
        f"'{' '.join(['road'] * 60)}' ('train_000000')",
        "LEVIR-CC, split 'train': 1 of 20 captions hold no word of the word map and become <unk> "
        "throughout; the first: 'zebra' ('train_000000')"]


def test_thresholds_that_leave_no_word_are_refused(levir, tmp_path):
    with pytest.raises(ValueError, match=r'no word occurs more than 9999 times \(min_word_freq\); '
                       'the most frequent is'):
        write_tutorial(splits(levir), tmp_path / 'a', min_word_freq=9999)
    with pytest.raises(ValueError, match='min_word_freq=-1 must be 0 or more'):
        write_tutorial(splits(levir), tmp_path / 'a', min_word_freq=-1)
    assert not (tmp_path / 'a').exists()


def test_an_unknown_task_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match=r"task='singel' is unknown.*Did you mean 'single'\?"):
        HDF5CaptionDataset(str(tmp_path), task='singel')


def test_a_stale_draft_is_overwritten_and_a_busy_one_refused(levir, tmp_path):
    draft = tmp_path / '.TRAIN_IMAGES_LEVIR_CC.hdf5.tmp'
    draft.write_bytes(b'half of an earlier file' * 1000)
    (written,) = [path for path in write_blip(splits(levir)[:1], tmp_path)
                  if path.suffix == '.hdf5']
    assert HDF5CaptionDataset(str(tmp_path), pipeline=[])[0]['frames'][0].shape == (32, 32, 3)
    assert not draft.exists() and not list(tmp_path.glob('.*'))
    before = written.read_bytes()
    with locked(tmp_path / '.TRAIN_IMAGES_LEVIR_CC.hdf5.lock'), \
            pytest.raises(OSError, match='another process is writing'):
        write_blip(splits(levir)[:1], tmp_path)
    assert written.read_bytes() == before


def test_room_is_reserved_before_images_are_written(levir, tmp_path, monkeypatch):
    def full(path, size):
        assert size == 4 * 2 * 3 * 32 * 32
        raise OSError(28, 'No space left on device', str(path))

    monkeypatch.setattr('rscc.datasets.hdf5_writer.reserve', full)
    with pytest.raises(OSError, match='No space left on device'):
        write_blip(splits(levir)[:1], tmp_path / 'h5')
    assert not list((tmp_path / 'h5').iterdir())


@pytest.mark.parametrize('how', ['truncated', 'zeroed'])
def test_damaged_files_are_named(blip, how):
    path = blip / 'TRAIN_IMAGES_LEVIR_CC.hdf5'
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2] if how == 'truncated' else bytes(len(data)))
    with pytest.raises(ValueError, match=r"TRAIN_IMAGES_LEVIR_CC\.hdf5' is no HDF5 file with a "
                       r"dataset 'images'.*levircc\.py"):
        HDF5CaptionDataset(str(blip))


@pytest.mark.parametrize('bands', [(1, 2, 3, 4), (1, 2, 3, 4, 5)])
def test_frames_of_other_numbers_of_bands_are_written_and_read_back(tmp_path, bands):
    root, load = banded(tmp_path, len(bands)), dict(type='LoadFrames', bands=bands, scale=(0, 3000))
    files = LEVIRCCDataset(str(root), img_from='A/{filename}', img_to='B/{filename}', split='train',
                           pipeline=[load])
    write_blip([files], tmp_path / 'h5')
    stored = HDF5CaptionDataset(str(tmp_path / 'h5'), pipeline=[dict(load, scale=None)])
    for idx in range(2):
        for frame, other in zip(files[idx]['frames'], stored[idx]['frames'], strict=True):
            assert frame.shape[2] == len(bands) and np.array_equal(frame, other)
    with pytest.raises(ValueError, match=r'must be uint8 RGB arrays \(H, W, 3\)'):
        HDF5CaptionDataset(str(tmp_path / 'h5'), pipeline=PIPELINE)[0]


def banded(folder, bands):
    """Write two captioned pairs of TIFFs of 16 bits."""
    pytest.importorskip('rasterio')
    draw, names = np.random.default_rng(0), ['one.tif', 'two.tif']
    for date in 'AB':
        (folder / 'pairs' / date).mkdir(parents=True)
        for name in names:
            write_plain(folder / 'pairs' / date / name,
                        draw.integers(0, 3000, (bands, 16, 12)).astype(np.uint16))
    images = [dict(filename=name, split='train', captions=['a house is built']) for name in names]
    (folder / 'pairs/LevirCCcaptions.json').write_text(json.dumps(dict(images=images)))
    return folder / 'pairs'


def test_files_of_one_language_are_not_read_as_two(blip):
    with pytest.raises(ValueError, match="has no caption in 'zh', only such as 'a house"):
        HDF5CaptionDataset(str(blip), languages=('en', 'zh'))
