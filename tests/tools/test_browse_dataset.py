"""Panels of a dataset's samples, as people draw them."""
import importlib.util

import cv2
import numpy as np
import pytest

CONFIG = """
train_dataloader = dict(dataset=dict(
    type='LEVIRMCIDataset', data_root='LEVIR', split='train', pipeline=[
        dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PickCaptions'),
        dict(type='FramesRandomFlip'), dict(type='PackChangeInputs')]))
"""


def load(path):
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def work(tmp_path, repo, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', '')  # --data-root sets it; this restores it
    fakes = load(repo / 'tests' / 'datasets' / 'conftest.py')
    fakes.make_levir(tmp_path / 'LEVIR')
    (tmp_path / 'config.py').write_text(CONFIG)
    return tmp_path


def browse(repo, work, *arguments):
    load(repo / 'tools/analysis_tools/browse_dataset.py').main(
        [str(work / 'config.py'), '--data-root', str(work), '--out', str(work / 'out'),
         *arguments])
    return sorted(path.name for path in (work / 'out').iterdir())


def test_a_panel_a_sample(repo, work, capsys):
    assert browse(repo, work, '--number', '3') == [
        'train_000000.png', 'train_000001.png', 'train_000003.png']
    assert '3 panels in' in capsys.readouterr().out
    panel = cv2.imread(str(work / 'out/train_000000.png'))
    assert panel.shape[1] > 300 and panel.std() > 20


def test_visits_of_one_sample(repo, work):
    assert browse(repo, work, '--ids', 'train_000002', '--visits', '2') == [
        'train_000002_0.png', 'train_000002_1.png']


def test_an_unknown_id_and_a_missing_config_name_the_nearest(repo, work):
    with pytest.raises(SystemExit, match=r"no sample 'train_00002' in this split.*Did you mean"):
        browse(repo, work, '--ids', 'train_00002')
    (work / 'config.py').rename(work / 'other.py')
    with pytest.raises(SystemExit, match=r'^error: no config at'):
        browse(repo, work)


def test_a_damaged_image_is_one_line_and_leaves_no_half_panel(repo, work):
    image = work / 'LEVIR/images/train/A/train_000001.png'
    image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(SystemExit, match=r"^error: sample 'train_000001': '.*' cannot be decoded"):
        browse(repo, work, '--ids', 'train_000001')
    assert not (work / 'out').exists()


def test_wrong_overrides_and_absent_splits_are_named(repo, work):
    with pytest.raises(SystemExit, match=r"no such key 'splt'.*Did you mean 'split'"):
        browse(repo, work, '--cfg-options', 'train_dataloader.dataset.splt=val')
    with pytest.raises(SystemExit, match=r'has no test_dataloader; choose --split of train'):
        browse(repo, work, '--split', 'test')


def test_a_sheet_shows_the_dates_under_each_transform(repo, work, capsys):
    assert browse(repo, work, '--ids', 'train_000002', '--transforms', 'FramesBlur', 'FramesNoise',
                  '--columns', '2', '--visits', '2') == ['train_000002_transforms.jpg']
    assert '1 sheets in' in capsys.readouterr().out
    sheet = cv2.imread(str(work / 'out/train_000002_transforms.jpg'))
    # "as it is", two draws of each of two transforms: five cells of two dates in rows of two.
    cell = (20 + 32 + 6, 32 + 2 + 32 + 6)
    assert sheet.shape == (3 * cell[0], 2 * cell[1], 3)
    assert sheet[2 * cell[0] + 20:, cell[1]:].min() > 230, 'the sixth cell is empty'
    first, soft = (sheet[row + 20:row + 52, column:column + 32].astype(float)
                   for row, column in ((0, 0), (0, cell[1])))
    assert soft.std() < first.std()


def test_a_sheet_without_names_shows_all_that_change_how_a_date_looks(repo, work):
    [name] = browse(repo, work, '--ids', 'train_000002', '--transforms')
    sheet = cv2.imread(str(work / 'out' / name))
    assert sheet.shape[0] == 4 * (20 + 32 + 6), 'the sample and eleven transforms in rows of three'


def test_an_unknown_transform_and_one_that_needs_settings_are_named(repo, work):
    with pytest.raises(SystemExit, match=r"no 'FramesBlurr'.*Did you mean 'FramesBlur'"):
        browse(repo, work, '--transforms', 'FramesBlurr')
    with pytest.raises(SystemExit, match=r'--transforms FramesResize: it cannot be built by its '
                       'name alone'):
        browse(repo, work, '--transforms', 'FramesResize')


def test_wrapped_datasets_are_drawn_visit_by_visit(repo, work):
    (work / 'config.py').write_text("""
train_dataloader = dict(dataset=dict(type='MosaicDataset', prob=1.0, captions='drop', dataset=dict(
    type='LEVIRMCIDataset', data_root='LEVIR', split='train', pipeline=[
        dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PackChangeInputs')])))
""")
    names = browse(repo, work, '--ids', 'train_000002', '--visits', '2')
    one, other = (cv2.imread(str(work / 'out' / name)) for name in names)
    assert one.shape != other.shape or (one != other).any()


def test_samples_share_one_sheet(repo, work, capsys):
    assert browse(repo, work, '--sheet', '--number', '3', '--columns', '2') == ['sheet.jpg']
    assert '3 samples in' in capsys.readouterr().out
    sheet = cv2.imread(str(work / 'out/sheet.jpg'))
    # Two dates and a mask of 176 pixels above name and sentence: three cells in rows of two.
    cell = (176 + 52 + 6, 3 * 176 + 2 * 2 + 6)
    assert sheet.shape == (2 * cell[0], 2 * cell[1], 3)
    assert sheet[cell[0]:, cell[1]:].min() > 230, 'the fourth cell is empty'
    assert sheet[176 + 2:cell[0] - 8, :cell[1]].min() < 120, 'name and sentence are written'


def test_pseudo_pairs_name_their_kind_and_labels_that_are_no_class_are_no_legend(repo, work):
    (work / 'tiles/image').mkdir(parents=True)
    (work / 'tiles/label').mkdir()
    image = np.random.default_rng(0).integers(80, 120, (64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[10:40, 10:40] = 255
    cv2.imwrite(str(work / 'tiles/image/a.png'), image)
    cv2.imwrite(str(work / 'tiles/label/a.png'), mask)
    (work / 'config.py').write_text("""
train_dataloader = dict(dataset=dict(
    type='PseudoPairDataset', tiles=[dict(type='TileDataset', data_root='tiles')], length=2,
    size=(64, 64), kinds=dict(erased=1), built=1.0, pipeline=[dict(type='PackChangeInputs')]))
""")
    browse(repo, work, '--number', '1')
    panel = cv2.imread(str(work / 'out/train_000000.png'))
    assert panel.shape[0] < 700, 'a line for each class, and none for 254'
    browse(repo, work, '--number', '2', '--sheet')
    sheet = cv2.imread(str(work / 'out/sheet.jpg'))
    shown = sheet[:176, 2 * 178:3 * 176 + 4].reshape(-1, 3).astype(int)
    grey, red = (np.abs(shown - colour).max(1) < 25 for colour in ((70, 70, 70), (50, 60, 230)))
    assert grey.mean() > 0.3 and red.mean() > 0.1
