"""HRSCD: five parts whose names tell the place, cut into tiles of all five kinds."""
import numpy as np
import pytest
from PIL import Image

from rscc.commands.tiles import main
from rscc.datasets.semantic_cd import HRSCDDataset
from rscc.rasters.hrscd import PARTS, scenes_of_hrscd
from rscc.utils import read_json

SHARES = {'train': 0.6, 'val': 0.2, 'test': 0.2}
LOAD = [dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='LoadSemanticMaps'),
        dict(type='PackChangeInputs')]


def name_of(kind, department, x, year):
    """Names as published: those of 2012 are longer, those of D14 are of 2005."""
    if kind in ('from', 'map_from', 'label'):
        return f'{department[1:]}-{year}-{x:04d}-6890-LA93.tif'
    return f'{department[1:]}-2012-{x:04d}-6890-LA93-0M50-E080.tif'


@pytest.fixture
def parts(tmp_path):
    """Five places in two departments, 96x64: artificial to the left, water to the right."""
    root, rng = tmp_path / 'HRSCD', np.random.default_rng(0)
    for number in range(5):
        department, year = ('D14', 2005) if number < 3 else ('D35', 2006)
        cover = np.where(np.arange(96) < 48, 1, 5).astype(np.uint8)[None].repeat(64, 0)
        later = np.where(np.arange(96) < 32, 1, 5).astype(np.uint8)[None].repeat(64, 0)
        change = np.zeros((64, 96), np.uint8)
        change[:32, 32:48] = 1
        pixels = {'map_from': cover, 'map_to': later, 'label': change}
        for kind, folder in PARTS.items():
            path = root / folder / department / name_of(kind, department, number, year)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.get(
                kind, rng.integers(0, 256, (64, 96, 3), dtype=np.uint8))).save(path)
    return root


def test_names_of_two_years_are_of_one_place_and_splits_are_whole_images(parts):
    scenes = scenes_of_hrscd(parts, SHARES)
    assert [scene.split for scene in scenes] == ['train'] * 3 + ['val', 'test']
    assert [scene.stem for scene in scenes] == [
        scene.stem for scene in scenes_of_hrscd(parts, SHARES)]
    for scene in scenes:
        assert set(scene.files) == set(PARTS) and scene.width == 96
        assert len({path.split('/')[-1].split('-')[2] for path in scene.files.values()}) == 1


def test_tiles_are_read_with_their_class_maps(parts, tmp_path):
    out = tmp_path / 'tiles'
    main(['cut', str(parts), '--hrscd', '--size', '32', '--overlap', '0', '--out', str(out)])
    assert set(read_json(out / 'tiles.json')['images'][0]['files']) == set(PARTS)
    assert len((out / 'train.txt').read_text().splitlines()[0].split()) == 3  # as other tools read
    dataset = HRSCDDataset(str(out), pipeline=LOAD)
    assert len(dataset) == 18
    for row in range(18):
        sample = dataset[row]['data_samples']
        classes = (sample.gt_sem_seg_from.data, sample.gt_sem_seg_to.data)
        # The maps differ in a strip from top to bottom, the change layer tells of its upper half.
        assert ((classes[0] != classes[1]) | (sample.gt_sem_seg.data == 0)).all()
        assert set(classes[0].unique().tolist()) <= {1, 5}
    assert any((dataset[row]['data_samples'].gt_sem_seg.data == 1).any() for row in range(18))


def test_a_missing_part_and_a_place_without_partner_are_named(parts):
    victim = next((parts / PARTS['map_to'] / 'D35').iterdir())
    victim.unlink()
    with pytest.raises(ValueError, match=r'4 files of HRSCD without a partner'):
        scenes_of_hrscd(parts, SHARES)
    (parts / 'images_2006').rename(parts / 'images_2005')
    with pytest.raises(FileNotFoundError, match=r'images_2006/2006; found .*BD ORTHO of IGN'):
        scenes_of_hrscd(parts, SHARES)


def test_class_maps_of_own_large_images_are_cut_too(parts, tmp_path):
    files = scenes_of_hrscd(parts, SHARES)[0].files
    out = tmp_path / 'own'
    main(['cut', '--from', files['from'], '--to', files['to'], '--label', files['label'],
          '--semantic', files['map_from'], files['map_to'], '--size', '32', '--overlap', '0',
          '--out', str(out)])
    for folder in ('A', 'B', 'label', 'label_A', 'label_B'):
        assert len(list((out / folder).iterdir())) == 6
    with pytest.raises(SystemExit):
        main(['cut', '--hrscd', '--out', str(out), '--from', 'a', '--to', 'b'])
