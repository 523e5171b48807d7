import json
import os
import shutil

import numpy as np
import pytest
from fake_data import write_fake_dataset
from PIL import Image
from scene_files import place, texture, write_raster

from rscc.doctor import sources
from rscc.doctor.examination import check_up
from rscc.doctor.kinds import KINDS
from rscc.doctor.recognition import parts_of_config, parts_of_folder, parts_of_name


def counts(parts, **options):
    register = check_up(parts, jobs=1, **options)
    try:
        return register.done, register.counts()
    finally:
        register.close()


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def noise(seed, size=64):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def pairs(root, splits=('train', 'test')):
    """Write folders A, B and label of three pairs a split."""
    for number in range(3 * len(splits)):
        home = root / splits[number // 3]
        for folder in 'AB':
            write(home / folder / f'{number}.png', noise([number, ord(folder)]))
        write(home / 'label' / f'{number}.png', np.eye(64, dtype=np.uint8) * 255)
    return root


def test_dates_are_found_further_down(tmp_path):
    for home in ('north/2020', 'south'):
        pairs(tmp_path / 'all', splits=(home, ))
    parts = parts_of_folder(tmp_path / 'all')
    found = [sample for part in parts for sample in part.samples()]
    assert len(found) == 6 and all(len(sample.images) == 2 and sample.label for sample in found)
    assert {sample.split for sample in found} == {'north/2020', 'south'}


# Every kind of dataset of the registry that has files, by its config.
@pytest.mark.parametrize(('cfg', 'samples'), [
    (dict(type='LEVIRCCDataset', data_root='LEVIR-CC'), 12),
    (dict(type='LEVIRMCIDataset', data_root='LEVIR-MCI-dataset'), 12),
    (dict(type='SynthChangeDataset', data_root='synth'), 12),
    (dict(type='SynthSceneDataset', data_root='synth'), 12),
    (dict(type='DubaiCCDataset', data_root='DubaiCCPublic'), 12),
    (dict(type='SydneyCaptionsDataset', data_root='Sydney_captions'), 12),
    (dict(type='UCMCaptionsDataset', data_root='UCM_captions'), 12),
    (dict(type='RSICDDataset', data_root='RSICD'), 12),
    (dict(type='PathListCDDataset', data_root='LEVIR-CD', ann_file='train.txt'), 4),
    (dict(type='SynthChangeDataset', data_root='synth', semantic=True), 12),
    (dict(type='SECONDDataset', data_root='SECOND'), 24),
    (dict(type='SECONDDataset', data_root='SECOND', layout='benchmark'), 24),
    (dict(type='LandsatSCDDataset', data_root='Landsat-SCD'), 20),
    (dict(type='HRSCDDataset', data_root='HRSCD'), 12),
    (dict(type='SECONDCCDataset', data_root='SECOND-CC-AUG'), 12),
    (dict(type='JL1CDDataset', data_root='JL1-CD'), 12)])
def test_datasets_of_every_kind_are_read(tmp_path, monkeypatch, cfg, samples):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    root = write_fake_dataset(tmp_path, cfg)
    done, found = counts(parts_of_config(cfg))
    assert done == samples
    assert not set(found) & {'missing_image', 'unreadable_image', 'bad_entry', 'mask_values',
                             'missing_class_map', 'class_map_values', 'class_map_size_differs',
                             'class_maps_disagree'}
    files = sorted(root.rglob('*.png'))
    victim = next((path for path in files if 'train' in str(path.relative_to(root))), files[0])
    victim.write_bytes(b'no picture')
    _, now = counts(parts_of_config(cfg))
    assert now.get('unreadable_image', 0) + now.get('unreadable_mask', 0) == 1


def test_folders_of_single_images_with_masks_are_read(tmp_path):
    for number in range(3):
        write(tmp_path / 'image' / f'{number}.png', noise(number))
        write(tmp_path / 'label' / f'{number}.png', np.eye(64, dtype=np.uint8))
    assert counts(parts_of_folder(tmp_path)) == (3, {})
    tiles = dict(type='TileDataset', data_root=str(tmp_path))
    assert counts(parts_of_config(tiles)) == (3, {})
    pairs_of_tiles = dict(type='PseudoPairDataset', tiles=[tiles])
    assert counts(parts_of_config(pairs_of_tiles)) == (3, {})


def test_hdf5_files_are_read(tmp_path):
    h5py = pytest.importorskip('h5py')
    for split in ('TRAIN', 'TEST'):
        with h5py.File(tmp_path / f'{split}_IMAGES_LEVIR_CC.hdf5', 'w') as file:
            images = np.random.default_rng(len(split)).integers(0, 256, (3, 2, 3, 64, 64), np.uint8)
            images[1, 1] = images[1, 0]
            file['images'] = images
        entries = {f'image_{row}': {'captions': ['a house is built'], 'changeflag': 1}
                   for row in range(3)}
        (tmp_path / f'{split}_CAPTIONS_LEVIR_CC.json').write_text(json.dumps(entries))
    for parts in (parts_of_name('HDF5CaptionDataset', str(tmp_path)), parts_of_folder(tmp_path)):
        assert counts(parts) == (6, {'same_dates': 2})
    (tmp_path / 'TRAIN_CAPTIONS_LEVIR_CC.json').write_text('{')
    assert counts(parts_of_folder(tmp_path)) == (3, {'same_dates': 1, 'bad_annotations': 1})


def test_wrappers_of_configs_are_opened(tmp_path, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    cfg = dict(type='LEVIRCCDataset', data_root='LEVIR-CC', split='test')
    write_fake_dataset(tmp_path, cfg)
    both = dict(type='ConcatDataset', datasets=[cfg, dict(type='RepeatDataset', times=2,
                                                          dataset=dict(cfg, split='val'))])
    assert [len(list(part.samples())) for part in parts_of_config(both)] == [4, 4]


def test_plain_folders_of_pairs_and_lists_are_recognised(tmp_path):
    pairs(tmp_path)
    assert counts(parts_of_folder(tmp_path)) == (6, {})
    (tmp_path / 'train/A/0.png').unlink()
    (tmp_path / 'test/label/4.png').unlink()
    assert counts(parts_of_folder(tmp_path)) == (6, {'missing_image': 1, 'missing_mask': 1})
    (tmp_path / 'train.txt').write_text('train/A/1.png train/B/1.png train/label/1.png\n\n'
                                        'train/A/2.png train/B/2.png\n')
    done, found = counts(parts_of_folder(tmp_path))
    assert (done, found) == (2, {'bad_entry': 1, 'orphan_file': 3})


def test_images_alone_are_single_images_with_the_splits_of_their_folders(tmp_path):
    for number, folder in enumerate(('train/a', 'train/b', 'test')):
        write(tmp_path / folder / f'{number}.png', noise(number))
    (part,) = parts_of_folder(tmp_path)
    assert [(one.name, one.split) for one in part.samples()] == [
        ('test/2', 'test'), ('train/a/0', 'train'), ('train/b/1', 'train')]
    shutil.copy(tmp_path / 'train/a/0.png', tmp_path / 'test/copy.png')
    assert counts([part]) == (4, {'leak': 1})


def test_a_name_in_two_splits_and_samples_without_split_are_found(tmp_path):
    entries = [{'filename': f'{number}.png', 'split': split, 'captions': ['a house', 'one house']}
               for number, split in ((0, 'train'), (1, 'train'), (1, 'test'), (2, None))]
    for number in range(3):
        write(tmp_path / 'imgs' / f'{number}.png', noise(number))
    (tmp_path / 'dataset.json').write_text(json.dumps({'images': entries}))
    assert counts(parts_of_folder(tmp_path)) == (4, {'id_in_two_splits': 1, 'no_split': 1})


def test_coco_files_and_entries_of_no_form_are_read(tmp_path):
    write(tmp_path / 'images' / '0.png', noise(0))
    (tmp_path / 'captions.json').write_text(json.dumps({
        'images': [{'id': 1, 'file_name': '0.png'}],
        'annotations': [{'image_id': 1, 'caption': 'a house'}]}))
    assert counts(parts_of_folder(tmp_path)) == (1, {})
    (tmp_path / 'captions.json').write_text(json.dumps({
        'images': [{'filename': '0.png', 'captions': ['a house']}, 7]}))
    assert counts(parts_of_folder(tmp_path)) == (2, {'bad_entry': 1})


def test_entries_that_leave_the_folder_are_damaged(tmp_path):
    write(tmp_path / 'imgs' / '0.png', noise(0))
    (tmp_path / 'dataset.json').write_text(json.dumps({'images': [
        {'filename': name, 'captions': ['a house']} for name in ('0.png', '../../0.png')]}))
    assert counts(parts_of_folder(tmp_path)) == (2, {'bad_entry': 1})


def test_captions_without_images_are_of_pairs_where_they_deny_changes(tmp_path):
    for texts, single in ((['nothing has changed', 'a house is built'], False),
                          (['two houses', 'a road'], True)):
        (tmp_path / 'captions.json').write_text(json.dumps({'images': [
            {'filename': '0.png', 'split': 'train', 'captions': texts}]}))
        (part,) = parts_of_folder(tmp_path)
        assert part.single == single
    assert counts([part], files=False) == (1, {})


def test_masks_that_know_nothing_are_found(tmp_path):
    write_fake_dataset(tmp_path, dict(type='LEVIRMCIDataset', data_root='x'))
    label = sorted(tmp_path.rglob('label/*.png'))[0]
    write(label, np.full((64, 64), 7, np.uint8))
    cfg = dict(type='LEVIRMCIDataset', data_root=str(tmp_path / 'x'),
               label_map={0: 0, 128: 1, 255: 2, 7: 255})
    _, found = counts(parts_of_config(cfg))
    assert found['mask_unknown'] == 1


def test_georeferences_are_compared(tmp_path):
    pytest.importorskip('rasterio')
    bands = texture(96, 96)
    for name, later in (('0', place(1)), ('1', place(1, 30)), ('2', None)):
        earlier = np.roll(bands, 30 * int(name), (1, 2))
        for folder, grid in (('A', place(1)), ('B', later)):
            target = tmp_path / folder / f'{name}.tif'
            target.parent.mkdir(exist_ok=True)
            if grid is None:
                Image.fromarray(np.moveaxis(earlier, 0, -1) // 2).save(target)
            else:
                write_raster(target, earlier // (1 + (folder == 'B')), grid)
    _, found = counts(parts_of_folder(tmp_path))
    assert {kind: found.get(kind) for kind in ('grid_differs', 'place_missing')} == {
        'grid_differs': 1, 'place_missing': 1}


def test_empty_folders_get_a_clear_answer(tmp_path):
    with pytest.raises(ValueError, match=r"no dataset in '.*': it is empty. Expected a capt"):
        parts_of_folder(tmp_path)
    (tmp_path / 'notes.txt').write_text('words')
    with pytest.raises(ValueError, match=r"it holds \['notes.txt'\]"):
        parts_of_folder(tmp_path)


def test_unreadable_folders_are_counted_and_the_rest_is_checked(tmp_path, monkeypatch):
    for folder in ('a', 'b'):
        write(tmp_path / folder / '0.png', noise(ord(folder)))
    scan = os.scandir

    def refuse(path='.'):
        if str(path).endswith('/b'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scan(path)

    monkeypatch.setattr(sources.os, 'scandir', refuse)
    done, found = counts(parts_of_folder(tmp_path))
    assert done == 1 and found == {'unreadable_folder': 1}
    pairs(tmp_path / 'deeper', splits=('east', ))
    assert counts(parts_of_folder(tmp_path)) == (3, {'unreadable_folder': 1})
    shutil.rmtree(tmp_path / 'a')
    shutil.rmtree(tmp_path / 'deeper')
    with pytest.raises(ValueError, match=r'1 folder unreadable: .*Permission denied'):
        parts_of_folder(tmp_path)


@pytest.mark.parametrize(('content', 'kind', 'told'), [
    (b'', 'bad_annotations', 'it is empty (0 bytes); expected UTF-8 text, a line for each pair'),
    ('a.png b.png'.encode('utf-16'), 'bad_annotations', 'it is UTF-16 text'),
    (bytes(range(256)) * 9, 'bad_annotations', 'it is no text'),
    (b'train/A/0.png\n', 'bad_entry', "it has 1 column: 'train/A/0.png'"),
    (b'"train/A/0.png train/B/0.png\n', 'bad_entry', 'a quote that does not close'),
    ('train/A/房屋.png train/B/房屋.png'.encode('gbk'), 'bad_entry', 'it is not UTF-8')])
def test_lists_that_datasets_refuse_are_errors(tmp_path, content, kind, told):
    (pairs(tmp_path) / 'train.txt').write_bytes(content)
    register = check_up(parts_of_folder(tmp_path), jobs=1)
    assert told in register.examples(kind)[0][1]
    assert KINDS[kind].severity == 'error'
    register.close()


def test_a_list_that_is_a_broken_link_is_an_error(tmp_path):
    (pairs(tmp_path) / 'train.txt').symlink_to('nowhere.txt')
    register = check_up(parts_of_folder(tmp_path), jobs=1)
    assert "it is a broken link to 'nowhere.txt'" in register.examples('bad_annotations')[0][1]
    register.close()


def test_lists_take_marks_and_line_ends_of_windows_blanks_and_chinese_names(tmp_path):
    pairs(tmp_path, ['train'])
    for folder in ('A', 'B', 'label'):
        (tmp_path / 'train' / folder / '0.png').rename(tmp_path / 'train' / folder / '影 像.png')
    rows = [(f'train\\A\\{name}.png', f'train\\B\\{name}.png', f'train/label/{name}.png')
            for name in ('影 像', '1', '2')]
    text = '\r\n'.join('\t'.join(f'"{path}"' for path in row) for row in rows)
    (tmp_path / 'train.txt').write_bytes(text.encode('utf-8-sig'))
    assert counts(parts_of_folder(tmp_path)) == (3, {})


def test_broken_links_and_files_of_one_name_are_found(tmp_path):
    pairs(tmp_path)
    (tmp_path / 'train/A/0.png').unlink()
    (tmp_path / 'train/A/0.png').symlink_to('nowhere.png')
    write(tmp_path / 'train/B/1.jpg', noise(9))
    register = check_up(parts_of_folder(tmp_path), jobs=1)
    assert register.counts() == {'missing_image': 1, 'same_stem': 1, 'orphan_file': 1}
    assert "it is a broken link to 'nowhere.png'" in register.examples('missing_image')[0][1]
    register.close()


@pytest.mark.parametrize('linked', [True, False])
def test_a_date_whose_folder_is_not_there_is_missed(tmp_path, linked):
    shutil.rmtree(pairs(tmp_path) / 'train/A')
    if linked:
        (tmp_path / 'train/A').symlink_to('nowhere')
    assert counts(parts_of_folder(tmp_path)) == (6, {'unreadable_folder': 1, 'missing_image': 3})


def test_linked_folders_are_followed_once(tmp_path):
    write(tmp_path / 'store/a.png', noise(1))
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/images').symlink_to(tmp_path / 'store')
    (tmp_path / 'store/again').symlink_to(tmp_path / 'data')
    assert counts(parts_of_folder(tmp_path / 'data')) == (1, {})
    (tmp_path / 'data/more').symlink_to('nowhere')
    assert counts(parts_of_folder(tmp_path / 'data')) == (1, {'unreadable_folder': 1})


def test_names_that_are_no_utf8_are_kept(tmp_path):
    write(tmp_path / 'a.png', noise(1))
    os.rename(tmp_path / 'a.png', os.fsencode(tmp_path) + b'/\xff.png')
    register = check_up(parts_of_folder(tmp_path), jobs=1)
    assert register.counts() == {} and register.sample(0)[1] == r'\xdcff'
    assert os.path.isfile(register.sample(0)[3]['images'][0])
    register.close()


def test_transparency_and_values_out_of_range_are_told(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    opaque = np.dstack([noise(1), np.full((64, 64), 255, np.uint8)])
    write(tmp_path / 'a.png', opaque)
    with rasterio.open(tmp_path / 'b.tif', 'w', driver='GTiff', width=64, height=64, count=3,
                       dtype='float32') as file:
        file.write(np.moveaxis(noise(2), -1, 0).astype(np.float32) / 255)
    register = check_up(parts_of_folder(tmp_path), jobs=1)
    half = np.dstack([noise(3), np.full((64, 64), 100, np.uint8)])
    half[0, 0, 3] = 0
    write(tmp_path / 'c.tif', half)
    register.close()
    register = check_up(parts_of_folder(tmp_path), jobs=1)
    assert register.counts() == {'alpha_dropped': 2, 'needs_mapping': 1}
    told = register.examples('needs_mapping')[0][1]
    assert told.endswith(': --scale 0 1')
    assert ' has 3 bands of float32 with values from 0 to ' in told
    told = register.examples('needs_mapping', language='zh')[0][1]
    assert '有 3 个波段，类型为 float32（数值 0 至 ' in told
    assert told.endswith('，可用 --scale 0 1')
    register.close()


@pytest.mark.parametrize('pixels', [True, False])
def test_a_tiff_whose_end_is_missing_is_an_error(tmp_path, pixels):
    path = tmp_path / 'a.tif'
    Image.fromarray(noise(3)).save(path)
    path.write_bytes(path.read_bytes()[:-8])
    register = check_up(parts_of_folder(tmp_path), pixels=pixels, jobs=1)
    assert 'its end is missing (8 bytes)' in register.examples('unreadable_image')[0][1]
    register.close()


# ---- class maps of both dates ------------------------------------------------------------------


def findings(parts):
    """Return kind of finding -> (sample, detail) of all class maps that are at fault."""
    register = check_up(parts, jobs=1)
    try:
        names = {n: name for n, _, name, _, _ in register.samples()}
        return {kind: [(names[n], detail) for n, detail, _ in register.examples(kind)]
                for kind in register.counts() if 'class_map' in kind}
    finally:
        register.close()


@pytest.mark.parametrize('layout', ['colours', 'numbers', 'benchmark'])
def test_folders_of_second_are_recognised_and_their_class_maps_examined(tmp_path, layout):
    root = write_fake_dataset(tmp_path, dict(type='SECONDDataset', data_root='S', layout=layout))
    assert findings(parts_of_folder(root)) == {}
    folder = dict(colours='label2', numbers='label2_wo_cm', benchmark='GT_T2')[layout]
    home = root / 'test' / folder
    names = sorted(path.name for path in home.iterdir())
    strange = np.array(Image.open(home / names[0]))
    strange[7, 3] = 77
    write(home / names[0], strange)
    write(home / names[1], np.array(Image.open(home / names[1]))[:32])
    one_sided = np.array(Image.open(home / names[3]))
    one_sided[40:44, :5] = (0, 255, 0) if layout == 'colours' else 4
    write(home / names[3], one_sided)
    told = findings(parts_of_folder(root))
    (name, detail), = told['class_map_values']
    assert name == names[0][:-4] and '77' in detail
    (name, detail), = told['class_map_size_differs']
    assert name == names[1][:-4] and detail == '64 x 64, 64 x 32'
    assert told['class_maps_disagree'] == [(names[3][:-4], '20 pixels')]


def test_class_maps_of_caption_files_are_examined(tmp_path):
    cfg = dict(type='SECONDCCDataset', data_root='SECOND-CC-AUG')
    root = write_fake_dataset(tmp_path, cfg)
    (root / 'val/sem/B/val_000000.png').unlink()
    write(root / 'test/sem/A/test_000001.png', np.full((64, 64, 3), (0, 255, 0), np.uint8))
    assert findings(parts_of_folder(root)) == {
        'missing_class_map': [('val_000000', str(root / 'val/sem/B/val_000000.png'))],
        'class_maps_disagree': [('test_000001', '4,096 pixels')]}
