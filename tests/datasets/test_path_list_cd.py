import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import recording

from rscc.datasets.path_list_cd import PathListCDDataset, sample_ids
from rscc.registry import DATASETS
from rscc.utils.paths import ListedPair

PIPELINE = [{'type': 'LoadFrames'}, {'type': 'LoadChangeMask'}, {'type': 'PackChangeInputs'}]
FOLDERS = ('A', 'B', 'label')


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def mask_of(changed, value=255):
    mask = np.zeros((16, 16), np.uint8)
    mask[:4] = value if changed else 0
    return mask


@pytest.fixture
def root(tmp_path):
    """Four pairs, every second one changed, and their list; no confidence files."""
    rng = np.random.default_rng(0)
    for number in range(4):
        for folder in FOLDERS[:2]:
            write(tmp_path / f'SYSU/train/{folder}/{number}.png',
                  rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        write(tmp_path / f'SYSU/train/label/{number}.png', mask_of(number % 2 == 0))
    relist(tmp_path / 'SYSU', lambda lines: lines)
    return tmp_path / 'SYSU'


def relist(root, change):
    lines = ['  '.join(f'train/{folder}/{number}.png' for folder in FOLDERS) for number in range(4)]
    (root / 'train.txt').write_text('\n'.join(change(lines)) + '\n', encoding='utf-8')


def add_confidence(root, folder, numbers, prefix='elsewhere/train'):
    names = [f'class {letter}' for letter in 'abcdefghijkl']
    records = [{'image_path': f'{prefix}/{folder}/{number}.png',
                **dict.fromkeys(names[number:], '0.1000')} for number in numbers]
    (root / f'train/{folder}_clipcls_56_vit16.json').write_text(json.dumps(records))


def build(root, **options):
    return PathListCDDataset(str(root), **{'pipeline': PIPELINE, **options})


@pytest.fixture
def told(monkeypatch):
    """What the dataset tells, (level, text)."""
    messages = []
    monkeypatch.setattr('rscc.datasets.path_list_cd.print_log',
                        lambda text, logger, level: messages.append((level, text)))
    return messages


def test_an_item_is_a_pair_with_a_mask_and_no_captions(root):
    dataset = build(root)
    item = dataset.get_data_info(1)
    assert item['sample_id'] == '1' and item['split'] == 'train'
    assert [Path(item[key]) for key in ('img_path_from', 'img_path_to', 'seg_map_path')] == [
        root / f'train/{folder}/1.png' for folder in FOLDERS]
    assert not {'gt_captions', 'gt_change_flag', 'prompts'} & set(item)
    packed = dataset[0]
    assert packed['inputs'].shape == (2, 3, 16, 16)
    assert packed['data_samples'].gt_sem_seg.data.unique().tolist() == [0, 1]
    assert dataset.metainfo['classes'] == ('unchanged', 'changed')
    assert dataset.metainfo['palette'] == [[0, 0, 0], [255, 255, 255]]


def test_a_folder_says_what_its_labels_mean_unless_the_config_does(root):
    from rscc.rasters.labels import write_classes
    write_classes(root, ['unchanged', 'dam', 'quarry'], [[0, 0, 0], [9, 9, 9], [8, 8, 8]], 0.3)
    mask = mask_of(True, 2)
    mask[8:] = 255  # without the file: changed
    write(root / 'train/label/0.png', mask)
    data = PathListCDDataset(str(root), pipeline=PIPELINE[:2], check_masks=False)
    assert data.metainfo['classes'] == ('unchanged', 'dam', 'quarry')
    assert data.metainfo['ground_resolution'] == 0.3
    assert np.array_equal(data[0]['gt_sem_seg'], mask)
    data = PathListCDDataset(
        str(root), pipeline=PIPELINE[:2], check_masks=False, classes=('unchanged', 'changed'),
        label_map={0: 0, 1: 1, 2: 1, 255: 255}, metainfo=dict(ground_resolution=0.5))
    assert data.metainfo['classes'] == ('unchanged', 'changed')
    assert set(np.unique(data[0]['gt_sem_seg'])) == {0, 1, 255}
    assert data.metainfo['ground_resolution'] == 0.3  # that of the pixels, whatever a block says


@pytest.mark.parametrize(('label_map', 'words'), [
    ({0: 254, 1: 1, 2: 2, 255: 1}, r"takes 255 in the labels of '.*' for 'dam', and "
     r"'rscc_classes.json' there says that it is 'ignored' \(all values: 0 unchanged, 1 dam, 2 qu"
     r'arry, 255 ignored\)\. Give a label_map of these values'),
    ({0: 0, 1: 2, 2: 1, 255: 255}, "takes 1 .* for 'quarry', and .* says that it is 'dam'"),
    ({0: 0, 1: 253, 2: 0, 255: 255}, None), ({0: 254, 1: 1, 2: 255, 255: 255}, None)])
def test_a_label_map_that_contradicts_the_folder_is_refused(root, label_map, words):
    from rscc.rasters.labels import write_classes
    write_classes(root, ['unchanged', 'dam', 'quarry'], [[0, 0, 0], [9, 9, 9], [8, 8, 8]], None)
    given = dict(label_map=label_map, classes=('unchanged', 'dam', 'quarry'), check_masks=False)
    if words is None:
        assert PathListCDDataset(str(root), **given).label_map == label_map
        return
    with pytest.raises(ValueError, match=words):
        PathListCDDataset(str(root), **given)


def test_relative_paths_start_from_the_root_else_from_the_working_directory(root, monkeypatch):
    relist(root, lambda lines: [line.replace('train/', 'SYSU/train/') for line in lines])
    monkeypatch.chdir(root.parent)
    item = build(root).get_data_info(0)
    assert item['img_path_from'] == 'SYSU/train/A/0.png' and Path(item['img_path_from']).is_file()
    relist(root, lambda lines: [line.replace('train/', f'{root}/train/') for line in lines])
    monkeypatch.chdir('/')
    assert build(root).get_data_info(0)['img_path_to'] == str(root / 'train/B/0.png')


def test_a_missing_list_says_how_it_is_written(root):
    with pytest.raises(FileNotFoundError, match=r"no path list '.*val\.txt'.*write_path\.py.*"
                       r'--data-root.*datasets\.md#path-lists'):
        build(root, ann_file='val.txt')


def test_missing_files_are_counted_and_both_places_named(root):
    for number in (1, 3):
        (root / f'train/B/{number}.png').unlink()
    (root / 'train/label/0.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'3 of 12 image files are missing; first: '
                       rf"\['.*label/0\.png', '.*B/1\.png', '.*B/3\.png'\].*train\.txt'.*data root "
                       rf"'{root}' or the working directory '{os.getcwd()}'.*write_path\.py"):
        build(root)
    assert len(build(root, check_images=False)) == 4


def test_two_columns_are_read_without_labels_only(root):
    relist(root, lambda lines: [line.rsplit('  ', 1)[0] for line in lines])
    with pytest.raises(ValueError, match=r"train\.txt' line 1 has two columns, .*label=False"):
        build(root)
    dataset = build(root, label=False)
    assert 'seg_map_path' not in dataset.get_data_info(0)
    assert 'gt_sem_seg' not in dataset[0]['data_samples']


def test_pairs_of_one_name_get_their_folders():
    def ids(*paths):
        return sample_ids([ListedPair(i, a, b) for i, (a, b) in enumerate(paths)])

    assert ids(('x/A/1.png', 'x/B/1.png'), ('x/A/2.png', 'x/B/2.png')) == ['1', '2']
    assert ids(('x/A/1.png', 'x/B/1.png'), ('y/A/1.png', 'y/B/1.png'),
               ('y/A/2.png', 'y/B/2.png')) == ['x/A/1', 'y/A/1', '2']
    assert ids(('A/1.png', 'B/1.png'), ('A/1.png', 'C/3.png')) == ['A/1/1', 'A/1/3']


def test_two_pairs_that_cannot_be_named_apart_are_refused(root):
    for folder in ('B', 'C'):
        write(root / f'{folder}/0.png', np.zeros((16, 16, 3), np.uint8))
    relist(root, lambda lines: ['train/A/0.png B/0.png train/label/0.png',
                                'train/A/0.png C/0.png train/label/0.png'])
    with pytest.raises(ValueError, match=r"has 'train/A/0/0' twice in split 'train'"):
        build(root)


# ---- class names -----------------------------------------------------------------------------


def test_the_best_nine_names_of_each_date_travel_with_the_sample(root):
    add_confidence(root, 'A', range(4))
    add_confidence(root, 'B', range(4), prefix='D:\\data\\train')
    dataset = build(root)
    names = [f'class {letter}' for letter in 'bcdefghij']
    assert dataset.get_data_info(1)['prompts'] == [names, names]
    assert dataset[1]['data_samples'].prompts == [names, names]
    few = build(root, prompts_from={'top': 2})[1]['data_samples'].prompts
    assert few == [names[:2], names[:2]]
    assert 'prompts' not in build(root, prompts_from=None)[1]['data_samples']


def test_exchanged_dates_exchange_their_names(root):
    add_confidence(root, 'A', range(4))
    (root / 'train/B_clipcls_56_vit16.json').write_text(json.dumps(
        [{'image_path': f'B/{number}.png', 'sea': '0.9'} for number in range(4)]))
    steps = [*PIPELINE[:2], {'type': 'FramesExchangeDates', 'prob': 1.0, 'captions': 'drop'},
             PIPELINE[2]]
    sample = build(root, pipeline=steps)[0]['data_samples']
    assert sample.prompts[0] == ['sea'] and sample.prompts[1][0] == 'class a'


def test_without_any_confidence_file_one_note_says_so(root, told):
    build(root)
    ((level, text),) = told
    assert level == 20 and 'its 4 pairs bring no class names' in text
    assert f"{root / 'train/A_clipcls_56_vit16.json'}" in text and 'clip_inference.py' in text


def test_a_list_and_confidence_files_that_do_not_match_are_counted(root):
    add_confidence(root, 'A', range(1))
    add_confidence(root, 'B', range(4))
    with pytest.raises(ValueError, match=r"do not match: 3 of 8 images have no record, first: "
                       r"\['train/A/1\.png', 'train/A/2\.png', 'train/A/3\.png'\]\. Looked by path "
                       r"and by file name in '.*A_clipcls_56_vit16\.json' \(1 records, .*"
                       r"prompts_missing='empty'.*prompts_from=None"):
        build(root)


def test_names_that_are_missing_may_be_empty_with_a_warning(root, told):
    add_confidence(root, 'B', range(4))
    dataset = build(root, prompts_missing='empty')
    ((level, text),) = told
    assert level == 30 and '4 of 8 images have no record' in text
    assert "A_clipcls_56_vit16.json' (no such file)" in text and 'get no class names' in text
    assert dataset.get_data_info(0)['prompts'][0] == []
    assert len(dataset.get_data_info(0)['prompts'][1]) == 9


def test_an_unknown_way_with_missing_names_proposes_the_nearest(root):
    with pytest.raises(ValueError, match=r"prompts_missing='emty' is unknown.*mean 'empty'"):
        build(root, prompts_missing='emty')


def test_the_original_list_and_its_files_give_the_original_names(monkeypatch):
    home = recording('changeclip/demo/expected_data_list.json').parents[1]
    monkeypatch.chdir(home)
    expected = json.loads(Path('demo/expected_data_list.json').read_text())
    dataset = PathListCDDataset(str(home / 'demo'), check_images=False)
    assert len(dataset) == len(expected)
    for idx, known in enumerate(expected):
        item = dataset.get_data_info(idx)
        assert [item['img_path_from'], item['img_path_to'], item['seg_map_path']] == [
            known['img_path'], known['img_path2'], known['seg_map_path']]
        assert item['prompts'] == [known['jsonA'], known['jsonB']]


# ---- masks -----------------------------------------------------------------------------------


def test_masks_of_ones_count_as_changed_too(root):
    for number in range(4):
        write(root / f'train/label/{number}.png', mask_of(number % 2 == 0, value=1))
    assert build(root)[0]['data_samples'].gt_sem_seg.data.sum() == 64


def test_a_mask_with_a_third_value_names_file_values_and_remedy(root):
    mask = mask_of(True)
    mask[8] = 128
    for number in range(4):
        write(root / f'train/label/{number}.png', mask)
    with pytest.raises(ValueError, match=r"label/\d\.png' holds the values \[0, 128, 255\].*Pass "
                       'label_map='):
        build(root)
    dataset = build(root, label_map={0: 0, 128: 1, 255: 2}, classes=('unchanged', 'road', 'house'),
                    palette=[[0, 0, 0], [9, 9, 9], [255, 255, 255]])
    assert dataset[0]['data_samples'].gt_sem_seg.data.unique().tolist() == [0, 1, 2]
    assert dataset.metainfo['classes'] == ('unchanged', 'road', 'house')
    assert dataset.metainfo['palette'][1] == [9, 9, 9]
    named = build(root, classes=('same', 'house'), label_map={0: 0, 128: 1, 255: 1}).metainfo
    assert named['classes'] == ('same', 'house') and len(named['palette']) == 2


def test_labels_saved_with_losses_are_divided_at_a_threshold(root):
    mask = mask_of(True, value=252)
    mask[8:] = 2
    for number in range(4):
        write(root / f'train/label/{number}.png', mask)
    with pytest.raises(ValueError, match=r'holds the values \[0, 2, 252\].*'
                       r'PathListCDDataset\(label_threshold=128\)'):
        build(root)
    assert build(root, label_threshold=128)[0]['data_samples'].gt_sem_seg.data.sum() == 64
    with pytest.raises(ValueError, match='label_map and label_threshold both say'):
        build(root, label_threshold=128, label_map={0: 0, 2: 0, 252: 1})


def test_a_real_pair_with_jpeg_labels(samples, tmp_path):
    folder = samples / 'cdd_sample'
    if not folder.is_dir():
        pytest.skip(f"no real sample at '{folder}'")
    (tmp_path / 'all.txt').write_text('  '.join(
        str(folder / part / '00000.jpg') for part in FOLDERS))
    with pytest.raises(ValueError, match=r'holds the values \[0, 1, 2\]'):
        build(tmp_path, ann_file='all.txt')
    sample = build(tmp_path, ann_file='all.txt', label_threshold=128)[0]['data_samples']
    assert not sample.gt_sem_seg.data.any()


def test_a_split_without_any_change_is_told_with_counts(root, told, monkeypatch):
    said = []
    monkeypatch.setattr('rscc.datasets.checks.warn_once', said.append)
    for number in range(4):
        write(root / f'train/label/{number}.png', mask_of(False))
    build(root, prompts_from=None)
    (text,) = said
    assert 'none of its 4 masks (1,024 pixels) holds a changed pixel' in text
    assert f"{root / 'train/label'}" in text
    said.clear()
    build(root, prompts_from=None, check_masks=False)
    build(root, prompts_from=None, pipeline=[PIPELINE[0], PIPELINE[2]])
    assert not told and not said


def test_masks_are_read_up_to_a_number_or_all(root, monkeypatch):
    from rscc.datasets.transforms.loading import LoadChangeMask
    read = []
    original = LoadChangeMask.transform
    monkeypatch.setattr('rscc.datasets.checks.MASKS_READ', 3)
    monkeypatch.setattr(LoadChangeMask, 'transform',
                        lambda self, results: read.append(1) or original(self, results))
    for check_masks, count in ((True, 3), ('all', 4), (False, 0)):
        read.clear()
        build(root, check_masks=check_masks)
        assert len(read) == count
    with pytest.raises(ValueError, match=r"check_masks='al' is unknown.*Did you mean 'all'"):
        build(root, check_masks='al')


@pytest.mark.parametrize('early', [True, False])
def test_pair_and_mask_of_other_sizes_name_their_files(root, early):
    write(root / 'train/B/1.png', np.zeros((16, 12, 3), np.uint8))
    with pytest.raises(ValueError, match=r'sizes differ: .*A/1\.png.*B/1\.png.* (Crop|Resize)'):
        build(root, check_masks=early)[1]
    write(root / 'train/B/1.png', np.zeros((16, 16, 3), np.uint8))
    write(root / 'train/label/3.png', np.zeros((8, 16), np.uint8))
    with pytest.raises(ValueError, match=r"label '.*label/3\.png' is \(8, 16\) .*\(16, 16\)\. Crop "
                       'or resize'):
        build(root, check_masks=early)[3]


@pytest.mark.parametrize('early', [True, False])
def test_a_truncated_image_names_its_file(root, early):
    path = root / 'train/A/2.png'
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"sample '2': '.*A/2\.png' cannot be decoded: its end is "
                       'missing.*copy or download it again'):
        build(root, check_masks=early)[2]


def test_it_builds_from_a_config_and_serves_a_cache(root):
    dataset = DATASETS.build({'type': 'PathListCDDataset', 'data_root': str(root),
                              'pipeline': PIPELINE, 'cache': {'size': (8, 8), 'where': 'memory'}})
    assert dataset[0]['inputs'].shape == (2, 3, 8, 8)
    assert dataset[0]['data_samples'].gt_sem_seg.data.shape == (1, 8, 8)


def test_the_real_samples_go_from_listing_to_samples(samples, tmp_path):
    from rscc.utils.paths import find_pairs, write_path_list
    (found,) = find_pairs(samples / 'levir_cd_samples')
    write_path_list(found, tmp_path)
    dataset = build(tmp_path, ann_file='all.txt')
    assert len(dataset) == len(found.rows)
    assert any(item['data_samples'].gt_sem_seg.data.any() for item in
               (dataset[i] for i in range(len(dataset))))


def test_folders_do_without_a_list(root):
    (root / 'train.txt').unlink()
    dataset = build(root, ann_file=None)
    listed = [Path(dataset.get_data_info(3)[key]) for key in ('img_path_from', 'seg_map_path')]
    assert len(dataset) == 4 and listed == [root / 'train/A/3.png', root / 'train/label/3.png']
    # Right in the root they are the training; what is tested needs a folder of its own.
    assert len(build(root / 'train', ann_file=None)) == 4
    with pytest.raises(FileNotFoundError, match=r"neither a list 'test\.txt' nor the folders A, B, "
                       r"label in '.*/train/test': A, B, label missing, found nothing"):
        build(root / 'train', ann_file=None, split='test')


def test_a_list_comes_before_folders(root):
    relist(root, lambda lines: lines[:2])
    assert len(build(root, ann_file=None)) == 2


def test_folders_whose_files_do_not_match_are_refused(root):
    (root / 'train.txt').unlink()
    (root / 'train/label/2.png').unlink()
    with pytest.raises(ValueError, match=r'2 files without a partner .*A/2\.png.*B/2\.png'):
        build(root, ann_file=None)
    assert len(build(root, ann_file=None, label=False, pipeline=PIPELINE[::2])) == 4
    for path in (root / 'train/label').iterdir():
        path.unlink()
    (root / 'train/label').rmdir()
    with pytest.raises(FileNotFoundError, match=r"label missing, found \['A', 'B'\]"):
        build(root, ann_file=None)


def test_partly_known_labels_are_no_classes(root):
    dataset = build(root, label_map={0: 254, 255: 1})
    assert dataset[0]['data_samples'].gt_sem_seg.data.unique().tolist() == [1, 254]
    dataset = build(root, label_map={0: 0, 255: 253})
    assert dataset[0]['data_samples'].gt_sem_seg.data.unique().tolist() == [0, 253]
    with pytest.raises(ValueError, match=r'holds the classes \[0, 7\]'):
        build(root, label_map={0: 0, 255: 7})


def test_what_is_partly_unknown_is_no_change(root, monkeypatch):
    said = []
    monkeypatch.setattr('rscc.datasets.checks.warn_once', said.append)
    build(root, label_map={0: 254, 255: 254})
    assert any('holds a changed pixel' in text for text in said)
    said.clear()
    build(root, label_map={0: 254, 255: 253})
    assert not said
