"""SECOND, Landsat-SCD, HRSCD: layouts, palettes, kinds of change, splits, and what is refused."""
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_testers import DatasetTester
from fake_data import write_fake_dataset, write_image
from mmengine.config import Config

from rscc.config.check import check_config
from rscc.datasets.semantic_cd import (
    HRSCDDataset,
    LandsatSCDDataset,
    SECONDDataset,
    SemanticCDDataset,
)
from rscc.registry import DATASETS, MODELS

LOAD = [dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='LoadSemanticMaps'),
        dict(type='PackChangeInputs')]


class FolderTester(DatasetTester):
    """Datasets in folders, which have no annotation file that could be missing."""
    test_missing_annotations_are_named = None

    def test_a_missing_image_is_named(self):
        victim = Path(self.build().files_of(self.build().get_data_info(0))[0])
        victim.unlink()
        with pytest.raises(ValueError, match=f'without a partner of the same name.*{victim.name}'):
            self.build()

    def test_labels_of_both_dates_and_the_change_between_them(self):
        dataset = self.build(pipeline=LOAD)
        assert dataset.metainfo['classes'] == ('unchanged', 'changed')
        assert dataset.metainfo['semantic_classes'][0] == 'none'
        changed = 0
        for row in range(len(dataset)):
            sample = dataset[row]['data_samples']
            earlier, later = sample.gt_sem_seg_from.data[0], sample.gt_sem_seg_to.data[0]
            change = sample.gt_sem_seg.data[0]
            assert ((earlier != later) == (change == 1)).all()
            changed += int(change.any())
        assert changed


class TestSECOND(FolderTester):
    cfg = dict(type='SECONDDataset', data_root='SECOND')

    @pytest.mark.parametrize('split', ['train', 'val', 'test'])
    def test_every_split_has_its_samples(self, split):
        assert len(self.build(split=split)) == dict(train=16, val=4, test=4)[split]


class TestSECONDNumbers(TestSECOND):
    cfg = dict(type='SECONDDataset', data_root='SECOND', layout='numbers')


class TestSECONDBenchmark(TestSECOND):
    cfg = dict(type='SECONDDataset', data_root='SECOND', layout='benchmark')


class TestLandsatSCD(FolderTester):
    cfg = dict(type='LandsatSCDDataset', data_root='Landsat-SCD')

    @pytest.mark.parametrize('split', ['train', 'val', 'test'])
    def test_every_split_has_its_samples(self, split):
        assert len(self.build(split=split)) == dict(train=12, val=4, test=4)[split]


class TestHRSCD(FolderTester):
    cfg = dict(type='HRSCDDataset', data_root='HRSCD/tiles')


@pytest.fixture
def second(tmp_path):
    return write_fake_dataset(tmp_path, dict(type='SECONDDataset', data_root='SECOND'))


def label_of(root: Path, number: int = 0, folder: str = 'label1') -> Path:
    return root / 'test' / folder / f'test_{number:06d}.png'


def test_published_colours_of_second(second):
    """Six classes and white, as SCanNet, Open-CD and torchange have them."""
    colours = [(255, 255, 255), (0, 0, 255), (128, 128, 128), (0, 128, 0), (0, 255, 0),
               (128, 0, 0), (255, 0, 0)]
    pixels = np.repeat(np.array(colours, np.uint8)[None], 2, 0)
    pixels = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_NEAREST)
    for folder in ('label1', 'label2'):
        write_image(label_of(second, folder=folder), pixels[..., ::-1])
    sample = SECONDDataset(str(second), split='test', pipeline=LOAD)[0]['data_samples']
    assert sample.gt_sem_seg_from.data.unique().tolist() == list(range(7))
    # A building that becomes another building is a change: maps are not compared for that.
    assert ((sample.gt_sem_seg_from.data > 0) == (sample.gt_sem_seg.data == 1)).all()


def test_a_strange_colour_is_told_with_its_place_and_the_nearest_class(second):
    pixels = cv2.imread(str(label_of(second)))
    pixels[5, 9] = (0, 0, 130)
    cv2.imwrite(str(label_of(second)), pixels)
    with pytest.raises(ValueError, match=r"(?s)'test_000000'.*label1.*\[130, 0, 0\] at row 5, "
                       r"column 9 \(nearest: 'building' \[128, 0, 0\]\).*JPEG or a smooth resize "
                       r"makes them, so take its files as they were published"):
        SECONDDataset(str(second), split='test', pipeline=LOAD)


def test_labels_of_one_date_only_are_counted(second, caplog, monkeypatch):
    said = []
    monkeypatch.setattr('rscc.datasets.checks.warn_once', said.append)
    pixels = cv2.imread(str(label_of(second, folder='label2')))
    pixels[40:42, 10:15] = (0, 255, 0)
    cv2.imwrite(str(label_of(second, folder='label2')), pixels)
    dataset = SECONDDataset(str(second), split='test', pipeline=LOAD)
    assert len(dataset) == 4
    assert any('1 of 4 samples have class maps that do not agree on the change (10 pixels' in text
               and "'test_000000'" in text for text in said)
    assert all(text.startswith(f"'{second}': ") for text in said if 'samples have' in text)
    with pytest.raises(ValueError, match='do not agree on the change'):
        SECONDDataset(str(second), split='test', pipeline=LOAD, faults='error')


def test_held_out_pairs_are_the_same_every_time_and_not_trained_on(second):
    names = {split: [item['sample_id'] for item in map(
        SECONDDataset(str(second), split=split).get_data_info, range(count))]
        for split, count in (('train', 16), ('val', 4))}
    assert not set(names['train']) & set(names['val'])
    again = SECONDDataset(str(second), split='val')
    assert names['val'] == [again.get_data_info(row)['sample_id'] for row in range(4)]
    assert len(SECONDDataset(str(second), holdout=0)) == 20


def test_a_list_of_names_chooses_pairs(second):
    (second / 'few.txt').write_text('train_000003.png\ntrain_000001\n')
    dataset = SECONDDataset(str(second), ann_file='few.txt')
    assert [dataset.get_data_info(row)['sample_id'] for row in range(2)] == [
        'train_000003', 'train_000001']
    (second / 'wrong.txt').write_text('train_00001.png\n')
    with pytest.raises(ValueError, match=r"names 1 file, 1 of which .*'train_00001'"):
        SECONDDataset(str(second), ann_file='wrong.txt')


def test_files_without_a_partner_and_missing_folders_are_named(second):
    label_of(second).unlink()
    with pytest.raises(ValueError, match=r"3 files without a partner.*'im1/test_000000.png'"):
        SECONDDataset(str(second), split='test')
    shutil.rmtree(second / 'test' / 'label1')
    with pytest.raises(FileNotFoundError, match=r"has not the folders im1, im2, label1, label2.*"
                       r"found \['im1', 'im2', 'label2'\].*datasets.md#second"):
        SECONDDataset(str(second), split='test')


def test_published_kinds_of_change_of_landsat_scd(tmp_path):
    root = write_fake_dataset(tmp_path, dict(type='LandsatSCDDataset', data_root='L'))
    kinds = np.repeat(np.arange(10, dtype=np.uint8), 6)[None].repeat(64, 0)
    for path in (root / 'label').iterdir():
        write_image(path, np.pad(kinds, ((0, 0), (0, 4))))
    sample = LandsatSCDDataset(str(root), split='test', pipeline=LOAD)[0]['data_samples']
    earlier, later, change = (getattr(sample, name).data[0, 0, :60:6].tolist() for name in (
        'gt_sem_seg_from', 'gt_sem_seg_to', 'gt_sem_seg'))
    assert earlier == [0, 1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert later == [0, 2, 3, 1, 3, 4, 1, 2, 1, 2]
    assert change == [0] + [1] * 9


def test_augmented_copies_are_left_out_before_splitting_and_case_does_not_matter(tmp_path):
    root = write_fake_dataset(tmp_path, dict(type='LandsatSCDDataset', data_root='L'))
    before = [LandsatSCDDataset(str(root), split=split).get_data_info(0)['sample_id']
              for split in ('train', 'val', 'test')]
    for folder in ('A', 'B', 'label'):
        for word in ('rotate90', 'Crop2', 'ZheDang', 'Zhedang7'):
            shutil.copy(root / folder / 'pair_000000.png',
                        root / folder / f'pair_000000_{word}.png')
    for path in (root / 'label').glob('pair_00000?.png'):
        path.rename(path.with_name(path.name.replace('pair', 'Pair')))
    after = [LandsatSCDDataset(str(root), split=split).get_data_info(0)['sample_id']
             for split in ('train', 'val', 'test')]
    assert before == after
    assert len(LandsatSCDDataset(str(root), split=None)) == 20


def test_white_at_both_dates_is_ignored(tmp_path):
    root = write_fake_dataset(tmp_path, dict(type='LandsatSCDDataset', data_root='L'))
    for folder in ('A', 'B'):
        for path in (root / folder).iterdir():
            pixels = cv2.imread(str(path))
            pixels[:4, :4] = 255
            if folder == 'A':
                pixels[10, 10] = 255
            cv2.imwrite(str(path), pixels)
    for cache in (None, dict(size=(64, 64), where='memory')):
        for test_mode in (False, True):
            dataset = LandsatSCDDataset(str(root), pipeline=LOAD, cache=cache, test_mode=test_mode)
            sample = dataset[0]['data_samples']
            unknown = sample.gt_sem_seg.data[0] == 255
            assert unknown[:4, :4].all() and int(unknown.sum()) == 16
            assert not sample.gt_sem_seg_from.data[0][unknown].any()


def test_a_coloured_label_of_landsat_scd_is_refused(tmp_path):
    """Its values are kinds of change; colours would give both dates one class."""
    root = write_fake_dataset(tmp_path, dict(type='LandsatSCDDataset', data_root='L'))
    for path in (root / 'label').iterdir():
        write_image(path, np.full((64, 64, 3), (0, 155, 0), np.uint8))
    with pytest.raises(ValueError, match='is coloured'):
        LandsatSCDDataset(str(root), pipeline=LOAD)


def test_dense_maps_need_a_change_layer(tmp_path):
    root = write_fake_dataset(tmp_path, dict(type='HRSCDDataset', data_root='H'))
    with pytest.raises(ValueError, match=r'no change map.*put LoadChangeMask before'):
        HRSCDDataset(str(root), pipeline=[LOAD[0], *LOAD[2:]])
    shutil.rmtree(root / 'train' / 'label')
    with pytest.raises(FileNotFoundError, match=r'tiles.py cut data/HRSCD --hrscd'):
        HRSCDDataset(str(root), pipeline=LOAD)


def test_the_change_of_hrscd_is_that_of_its_layer(tmp_path):
    root = write_fake_dataset(tmp_path, dict(type='HRSCDDataset', data_root='H'))
    for path in (root / 'train' / 'label').iterdir():
        write_image(path, np.zeros((64, 64), np.uint8))
    sample = HRSCDDataset(str(root), pipeline=LOAD)[0]['data_samples']
    assert not sample.gt_sem_seg.data.any()
    assert (sample.gt_sem_seg_from.data != sample.gt_sem_seg_to.data).any()


def test_own_folders_tell_their_classes(tmp_path):
    root = write_fake_dataset(tmp_path, dict(type='HRSCDDataset', data_root='H'))
    with pytest.raises(ValueError, match='give both'):
        SemanticCDDataset(str(root))
    with pytest.raises(ValueError, match='3 names and semantic_palette 2 colours'):
        SemanticCDDataset(str(root), semantic_classes=['none', 'a', 'b'],
                          semantic_palette=[[0, 0, 0], [1, 1, 1]])
    dataset = SemanticCDDataset(
        str(root), semantic_classes=['none', *'abcde'],
        semantic_palette=[[row, row, row] for row in range(6)], pipeline=LOAD)
    assert dataset.metainfo['semantic_classes'] == ('none', *'abcde')
    assert int(dataset[0]['data_samples'].gt_sem_seg_to.data.max()) == 5
    told = dict(semantic_classes=dataset.metainfo['semantic_classes'],
                semantic_palette=dataset.metainfo['semantic_palette'])
    # Folders right in the dataset's, without splits.
    sizes = {split: len(SemanticCDDataset(str(root / 'train'), split=split, holdout=0.25, **told))
             for split in ('train', 'val', None)}
    assert sizes == {'train': 3, 'val': 1, None: 4}


def test_the_option_of_another_dataset_is_refused_in_words():
    with pytest.raises(ValueError, match=r'semantic=True is an option of the built-in .*_delete_'):
        SemanticCDDataset('x', semantic=True, semantic_classes=['none', 'a'],
                          semantic_palette=[[0, 0, 0], [9, 9, 9]])


def example(repo, language):
    """Return the config of the section about one's own class maps."""
    text = (repo / f'docs/{language}/datasets.md').read_text(encoding='utf-8')
    section = text.split('<a id="semantic-change-folders"></a>')[1]
    return re.search(r'^```python\n(.*?)^```', section, re.M | re.S)[1]


def test_the_config_for_own_class_maps_works_as_written(repo, tmp_path, monkeypatch):
    assert example(repo, 'en') == example(repo, 'zh_cn')
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    (tmp_path / 'configs').symlink_to(repo / 'configs')
    path = tmp_path / 'my_config.py'
    path.write_text(example(repo, 'en').replace("'./semantic", "'./configs/semantic"))
    draw, field, house = np.random.default_rng(0), (90, 160, 60), (200, 40, 40)
    for name in [f'train/{{}}/{number}.png' for number in range(5)] + ['test/{}/0.png']:
        maps = np.full((64, 64, 3), field, np.uint8)
        later, changed = maps.copy(), np.zeros((64, 64), np.uint8)
        later[:9, :9], changed[:9, :9] = house, 255
        for folder in 'AB':
            write_image(tmp_path / 'my_pairs' / name.format(folder),
                        draw.integers(0, 200, (64, 64, 3), dtype=np.uint8))
        for folder, pixels in (('label_A', maps), ('label_B', later)):
            target = tmp_path / 'my_pairs' / name.format(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), pixels[..., ::-1])
        write_image(tmp_path / 'my_pairs' / name.format('label'), changed)
    cfg = Config.fromfile(path)
    check_config(cfg)
    for stage, pairs in (('train', 4), ('val', 1), ('test', 1)):
        dataset = DATASETS.build(cfg[f'{stage}_dataloader'].dataset)
        assert len(dataset) == pairs
        sample = dataset[0]['data_samples']
        assert (sample.gt_sem_seg_to.data == 2).sum() == (sample.gt_sem_seg.data == 1).sum() == 81
    assert MODELS.build(cfg.model).change_head.groups == (2, 2, 2)
