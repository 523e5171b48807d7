import json
import shutil

import numpy as np
import pytest
from PIL import Image

from rscc.datasets import checks
from rscc.datasets.levir_cc import LEVIRCCDataset, LEVIRMCIDataset
from rscc.datasets.path_list_cd import PathListCDDataset
from tests.datasets.conftest import CHANGED, STOCK, write_png

LOAD = [{'type': 'LoadFrames'}, {'type': 'LoadChangeMask'}, {'type': 'PackChangeInputs'}]


@pytest.fixture
def warned(monkeypatch):
    messages = []
    monkeypatch.setattr(checks, 'warn_once', lambda text, level=30: messages.append(text))
    return messages


def sentences(texts):
    return [{'raw': text, 'tokens': text.split()} for text in texts]


def outcomes(kind, root, match, warned, dropped, total=4, **options):
    """A finding is told, dropped or refused, as the option says."""
    assert len(kind(str(root), **options)) == total
    assert any(match in text for text in warned), warned
    warned.clear()
    left = kind(str(root), faults='drop', **options)
    names = [left.get_data_info(index)['sample_id'] for index in range(len(left))]
    assert not set(dropped) & set(names) and len(names) == total - len(dropped)
    with pytest.raises(ValueError, match=match.replace('(', r'\(')):
        kind(str(root), faults='error', **options)


def test_a_clean_dataset_is_not_remarked_upon(levir, warned):
    LEVIRMCIDataset(str(levir), pipeline=LOAD, faults='error')
    assert not warned


def test_flags_against_captions_are_counted_and_named(levir, edit_annotations, warned):
    edit_annotations(levir, lambda images: images[0].update(sentences=sentences(STOCK)))
    outcomes(LEVIRCCDataset, levir, "1 of 4 samples are flagged changed, and all their captions "
             "deny a change; the first: 'train_000000'", warned, ['train_000000'])


def test_unchanged_pairs_that_tell_of_change_are_named(levir, edit_annotations, warned):
    def change(images):
        for number in (1, 3, 5):
            images[number % 4]['changeflag'] = 0
        images[2].update(changeflag=0, sentences=sentences(CHANGED))

    edit_annotations(levir, change)
    outcomes(LEVIRCCDataset, levir, '1 of 4 samples are flagged unchanged, and none of their '
             "captions says so; the first: 'train_000002'", warned, ['train_000002'])


def test_denials_in_words_of_their_own_are_no_contradiction(levir, edit_annotations, warned):
    def change(images):
        for image in images[1::2]:
            image['sentences'] = sentences(['nothing to see here'])

    edit_annotations(levir, change)
    LEVIRCCDataset(str(levir), faults='error')
    assert not warned


def test_flags_against_masks_are_counted_and_named(levir, warned):
    write_png(levir / 'images/train/label/train_000000.png', np.zeros((32, 32), np.uint8))
    write_png(levir / 'images/train/label/train_000001.png', np.full((32, 32), 255, np.uint8))
    dataset = LEVIRMCIDataset(str(levir), pipeline=LOAD)
    assert len(dataset) == 4 and [text.split('samples ')[1].split(';')[0] for text in warned] == [
        'are flagged changed, and their masks hold no change',
        'are flagged unchanged, and their masks hold a change']
    left = LEVIRMCIDataset(str(levir), pipeline=LOAD, faults='drop')
    assert [left.get_data_info(index)['sample_id'] for index in range(2)] == [
        'train_000002', 'train_000003']


def test_one_image_for_both_dates_of_a_changed_pair_is_named(levir, warned):
    shutil.copy(levir / 'images/train/A/train_000002.png',
                levir / 'images/train/B/train_000002.png')
    shutil.copy(levir / 'images/train/A/train_000001.png',
                levir / 'images/train/B/train_000001.png')
    outcomes(LEVIRCCDataset, levir, '1 of 4 samples are flagged changed, and the files of both '
             "dates are the same; the first: 'train_000002'", warned, ['train_000002'])


def test_files_of_one_size_are_not_the_same(levir, warned):
    for folder in 'AB':
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[0, 0] = 0 if folder == 'A' else 9
        target = levir / f'images/train/{folder}/train_000002.png'
        write_png(target.with_suffix('.bmp'), pixels)
        target.with_suffix('.bmp').rename(target)
    LEVIRCCDataset(str(levir), faults='error')
    assert not warned


def test_pixels_of_another_split_are_named_and_leave_training(levir, warned):
    for folder in 'AB':
        shutil.copy(levir / f'images/test/{folder}/test_000001.png',
                    levir / f'images/train/{folder}/train_000003.png')
    shutil.copy(levir / 'images/test/A/test_000000.png', levir / 'images/train/A/train_000000.png')
    outcomes(LEVIRCCDataset, levir, "1 of 4 samples show the same pixels as samples of split 'test'"
             "; the first: 'train_000003'", warned, ['train_000003'])
    warned.clear()
    assert len(LEVIRCCDataset(str(levir), split='test', faults='drop')) == 4
    assert "pixels as samples of split 'train'" in warned[0]


def test_lists_beside_a_list_are_looked_through_for_leaks(levir, warned):
    for split in ('train', 'test'):
        lines = ['  '.join(f'images/{split}/{folder}/{split}_{number:06d}.png'
                           for folder in ('A', 'B', 'label')) for number in range(4)]
        (levir / f'{split}.txt').write_text('\n'.join(lines))
    for folder in 'AB':
        shutil.copy(levir / f'images/test/{folder}/test_000001.png',
                    levir / f'images/train/{folder}/train_000003.png')
    outcomes(PathListCDDataset, levir, "1 of 4 samples show the same pixels as samples of split "
             "'test'", warned, ['train_000003'], prompts_from=None)


def test_mistyped_and_missing_splits_are_counted(levir, edit_annotations, warned):
    def change(images):
        images[4]['split'] = images[5]['split'] = 'trian'
        del images[11]['split']

    edit_annotations(levir, change)
    LEVIRCCDataset(str(levir), check_images=False)
    assert warned[0].endswith("2 of 4 samples are of a split 'trian', which nothing trains or "
                              "tests on. Did you mean 'train'?; the first: 'val_000000', "
                              "'val_000001'.")
    assert 'are of no split, though others are' in warned[1]
    with pytest.raises(ValueError, match="split 'trian'"):
        LEVIRCCDataset(str(levir), check_images=False, faults='error')


def test_ids_given_twice_are_an_error_or_one_is_left_out(levir, edit_annotations):
    edit_annotations(levir, lambda images: images.append(images[1]))
    with pytest.raises(ValueError, match=r"'train_000001' twice in split 'train'\. Remove one, or "
                       r"pass faults='drop'"):
        LEVIRCCDataset(str(levir))
    assert len(LEVIRCCDataset(str(levir), faults='drop')) == 4


def test_an_image_of_two_splits_stays_in_the_later_one(levir, edit_annotations):
    edit_annotations(levir, lambda images: images.append({**images[0], 'split': 'test'}))
    options = dict(img_from='images/{filename}', img_to='images/{filename}', check_images=False)
    sizes = [len(LEVIRCCDataset(str(levir), split=split, faults='drop', **options))
             for split in ('train', 'val', 'test')]
    assert sizes == [3, 4, 5]


def test_numbers_given_twice_or_not_at_all_are_told(levir, edit_annotations, warned):
    edit_annotations(levir, lambda images: images[1].update(imgid=0))
    LEVIRCCDataset(str(levir))
    assert 'samples share their imgid with another' in warned[0]
    path = levir / 'LevirCCcaptions.json'
    path.write_text(path.read_text().replace('"imgid": 2', '"imgid": NaN', 1))
    with pytest.raises(ValueError, match=r"train_000002\.png': imgid is a number \(nan\)"):
        LEVIRCCDataset(str(levir))


def test_a_key_given_twice_is_refused(levir):
    path = levir / 'LevirCCcaptions.json'
    text = path.read_text().replace('"split": "train"', '"split": "train", "split": "test"', 1)
    path.write_text(text)
    with pytest.raises(ValueError, match=r"has the key 'split' more than once"):
        LEVIRCCDataset(str(levir))


@pytest.mark.parametrize('name', [
    '../secret.png', 'a/../../secret.png', '/etc/passwd', 'C:\\secret.png', '..\\secret.png',
    '\\\\host\\share\\secret.png'])
@pytest.mark.parametrize('key', ['filename', 'filepath'])
def test_names_that_leave_the_folder_are_refused(levir, edit_annotations, name, key):
    edit_annotations(levir, lambda images: images[2].update({key: name}))
    with pytest.raises(ValueError, match='leaves the folder of the dataset'):
        LEVIRCCDataset(str(levir), check_images=False)


def test_classes_without_a_name_are_refused_before_training(levir):
    with pytest.raises(ValueError, match=r"sample 'train_000000': label .* holds the classes "
                       r"\[0, 1, 5\], and the dataset has 3: .*label_map=\{value"):
        LEVIRMCIDataset(str(levir), pipeline=LOAD, label_map={0: 0, 128: 1, 255: 5})


def test_faults_must_be_known(levir):
    with pytest.raises(ValueError, match=r"faults='dorp' is unknown.*Did you mean 'drop'"):
        LEVIRCCDataset(str(levir), faults='dorp')


def test_real_samples_hold_no_fault_of_form(samples, tmp_path):
    root = samples / 'levir_cd_samples'
    if not root.is_dir():
        pytest.skip(f"no real samples at '{root}'")
    from rscc.utils.paths import find_pairs, write_path_list
    (found,) = find_pairs(root)
    write_path_list(found, tmp_path)
    text = json.dumps(PathListCDDataset(str(tmp_path), 'all.txt', pipeline=LOAD,
                                        check_masks='all').metainfo['classes'])
    assert text == '["unchanged", "changed"]'


def paint(kind, path):
    changed = np.zeros((32, 32), np.uint8)
    changed[4:9] = 1
    if kind == 'missing':
        path.unlink()
    elif kind == 'colours':
        write_png(path, np.array([[0, 0, 0], [200, 0, 0]], np.uint8)[changed])
    elif kind == 'size':
        write_png(path, np.zeros((32, 31), np.uint8))
    elif kind == 'postscript':
        path.write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0')
    elif kind == 'third value':
        write_png(path, changed * 100)
    else:
        picture = Image.fromarray(1 - changed, mode='P')
        picture.putpalette([255, 255, 255, 0, 0, 0])
        picture.save(path, **({'transparency': 1} if kind == 'transparent' else {}))


@pytest.mark.parametrize(('kind', 'match'), [
    ('missing', 'image files are missing'), ('colours', r'LoadChangeMask\(palette='),
    ('size', r'is \(32, 31\) \(H, W\)'), ('postscript', 'is no PNG, JPEG'),
    ('third value', r'Pass label_map='), ('reversed palette', r'label_map=\{0: 1, 1: 0\}'),
    ('transparent', 'has transparent pixels')])
@pytest.mark.parametrize('cache', [None, {'size': (16, 16), 'where': 'memory'}])
def test_one_bad_label_is_refused_before_the_first_batch(levir, kind, match, cache):
    lines = ['  '.join(f'images/train/{folder}/train_{number:06d}.png'
                       for folder in ('A', 'B', 'label')) for number in range(4)]
    (levir / 'train.txt').write_text('\n'.join(lines))
    for number in range(4):
        write_png(levir / f'images/train/label/train_{number:06d}.png',
                  np.uint8(255 * (np.arange(1024).reshape(32, 32) % 7 == number)))
    PathListCDDataset(str(levir), pipeline=LOAD, cache=cache, prompts_from=None)
    paint(kind, levir / 'images/train/label/train_000002.png')
    error = FileNotFoundError if kind == 'missing' else ValueError
    with pytest.raises(error, match=match):
        PathListCDDataset(str(levir), pipeline=LOAD, cache=cache, prompts_from=None)


def test_a_mask_that_vanishes_is_file_not_found(levir):
    dataset = LEVIRMCIDataset(str(levir), pipeline=LOAD)
    (levir / 'images/train/label/train_000002.png').unlink()
    with pytest.raises(FileNotFoundError, match=r"sample 'train_000002': no such image"):
        dataset[2]


def test_orientation_is_honoured_in_caches_and_hdf5_files(levir, tmp_path):
    pytest.importorskip('h5py')
    from rscc.datasets.hdf5 import HDF5CaptionDataset
    from rscc.datasets.hdf5_writer import write_blip
    tag = Image.Exif()
    tag[0x0112] = 6
    expected = {}
    for number in range(4):
        for folder in ('A', 'B', 'label'):
            path = levir / f'images/train/{folder}/train_{number:06d}.png'
            upright = np.asarray(Image.open(path))
            expected[folder, number] = upright
            Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(path, exif=tag)
    for cache in (None, {'size': None, 'where': 'memory'}):
        loaded = LEVIRMCIDataset(str(levir), pipeline=LOAD, cache=cache)[2]
        assert np.array_equal(loaded['inputs'][0].permute(1, 2, 0), expected['A', 2])
        assert np.array_equal(loaded['data_samples'].gt_sem_seg.data[0] > 0,
                              expected['label', 2] > 0)
    write_blip([LEVIRCCDataset(str(levir), pipeline=LOAD[:1])], tmp_path / 'h5')
    frames = HDF5CaptionDataset(str(tmp_path / 'h5'), pipeline=LOAD[:1])[1]['frames']
    assert np.array_equal(frames[1], expected['B', 1])


def test_a_clean_list_leaves_all_others_out(levir, warned):
    names = [f'{split}\t{split}_{number:06d}' for split in ('train', 'test') for number in (0, 2)]
    (levir / 'clean.txt').write_text('\n'.join(['# a remark', '', *names, 'val_000001']))
    for split, expected in (('train', [0, 2]), ('test', [0, 2]), ('val', [1])):
        dataset = LEVIRMCIDataset(str(levir), split=split, clean_list='clean.txt', pipeline=LOAD)
        assert [dataset.get_data_info(row)['sample_id'] for row in range(len(dataset))] == [
            f'{split}_{number:06d}' for number in expected]


def test_what_is_not_on_a_clean_list_may_lack_its_files(levir):
    (levir / 'clean.txt').write_text('train\ttrain_000001')
    (levir / 'images/train/A/train_000002.png').unlink()
    assert len(LEVIRMCIDataset(str(levir), clean_list='clean.txt', pipeline=LOAD)) == 1


def test_a_clean_list_of_another_dataset_is_refused(levir):
    (levir / 'clean.txt').write_text('train\tother')
    with pytest.raises(ValueError, match='clean_list names none of the 4 samples'):
        LEVIRMCIDataset(str(levir), clean_list='clean.txt')
    with pytest.raises(FileNotFoundError, match='clean list not found'):
        LEVIRMCIDataset(str(levir), clean_list='clear.txt')


@pytest.mark.parametrize('cached', [False, True])
def test_nothing_is_learnt_from_masked_samples(levir, warned, cached):
    write_png(levir / 'images/train/label/train_000001.png', np.full((32, 32), 255, np.uint8))
    (levir / 'clean.txt').write_text('\n'.join(f'train\ttrain_{n:06d}' for n in (0, 1, 2)))
    pipeline = [LOAD[0], LOAD[1], {'type': 'PickCaptions'}, LOAD[2]]
    dataset = LEVIRMCIDataset(str(levir), faults='mask', clean_list='clean.txt', pipeline=pipeline,
                              cache={'size': None} if cached else None)
    assert len(dataset) == 4
    assert any('1 are kept without labels' in text for text in warned)
    packed = {one['data_samples'].sample_id: one['data_samples'] for one in dataset}
    for name in ('train_000001', 'train_000003'):
        assert (packed[name].gt_sem_seg.data == 255).all()
        assert not {'gt_captions', 'target_captions', 'gt_change_flag'} & set(packed[name].keys())
    assert packed['train_000000'].gt_sem_seg.data.max() == 2
    assert packed['train_000000'].target_captions


def test_a_batch_of_masked_samples_costs_nothing(levir, warned):
    import torch
    from tiny_models import JOINT

    from rscc.registry import MODELS
    (levir / 'clean.txt').write_text('train\ttrain_000000')
    dataset = LEVIRMCIDataset(str(levir), faults='mask', clean_list='clean.txt', pipeline=LOAD)
    model = MODELS.build(dict(JOINT, data_preprocessor=dict(type='ChangeDataPreprocessor')))
    masked = [one for one in dataset if 'gt_captions' not in one['data_samples']]
    assert len(masked) == 3
    data = model.data_preprocessor({'inputs': [one['inputs'] for one in masked],
                                    'data_samples': [one['data_samples'] for one in masked]}, True)
    losses = model(**data, mode='loss')
    total = sum(value.sum() for name, value in losses.items() if 'loss' in name)
    assert torch.isfinite(total) and float(total.detach()) == 0
