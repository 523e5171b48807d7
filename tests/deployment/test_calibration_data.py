"""Images that int8 is calibrated on: of configs, folders, and published models without data."""
import cv2
import numpy as np
import pytest
import tiny_models as tiny

from rscc.deployment.calibration_data import calibration_data
from rscc.deployment.export import ExportOptions, export_onnx
from rscc.inference.model_pass import ModelPass


@pytest.fixture
def model(tmp_path):
    checkpoint = tiny.save(tmp_path / 'm.pth', dict(tiny.JOINT, caption_head=None))
    return ModelPass.of(None, checkpoint, 'cpu')


@pytest.fixture
def pairs(tmp_path):
    """A folder with A, B and label, images larger than the model's window."""
    for number, frames in enumerate(tiny.windows(5, 96, 80)):
        for name, frame in zip(('A', 'B'), frames, strict=True):
            (tmp_path / 'pairs' / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'pairs' / name / f'{number}.png'), frame[..., ::-1])
        (tmp_path / 'pairs' / 'label').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'pairs' / 'label' / f'{number}.png'),
                    np.zeros((96, 80), np.uint8))
    return tmp_path / 'pairs'


def test_a_folder_of_pairs_gives_the_middle_of_its_images(model, pairs):
    found = calibration_data(model, pairs, count=3)
    assert found.source == 'pairs: 3 of 5' and len(found.windows) == 3
    first, last = tiny.windows(5, 96, 80)[::4]
    for own, true in ((found.windows[0], first), (found.windows[-1], last)):
        assert [np.array_equal(frame, whole[16:80, 8:72]) for frame, whole in zip(
            own, true, strict=True)] == [True, True]


def test_a_config_gives_validation_data_else_training_data_as_stored(model, pairs, tmp_path):
    data = (f"dict(dataset=dict(type='ConcatDataset', datasets=[dict(type='PathListCDDataset', "
            f"data_root='{pairs}', ann_file=None, pipeline=[dict(type='FramesRandomRotate90'), "
            "dict(type='PackChangeInputs')])]))")
    missing = f"dict(dataset=dict(type='PathListCDDataset', data_root='{pairs}/none'))"
    config = tmp_path / 'data.py'
    config.write_text(f'val_dataloader = {missing}\ntrain_dataloader = {data}\n')
    found = calibration_data(model, config)
    assert found.source == 'PathListCDDataset, train: 5 of 5'
    assert found.windows[0][0].shape == (64, 64, 3)
    config.write_text(f'val_dataloader = {missing}\n')
    with pytest.raises(ValueError, match=r"int8 is calibrated on images, and those of '.*data.py' "
                       r"are not here \(val: no folder .*none.*give --calibration"):
        calibration_data(model, config)


def test_images_that_are_not_there_are_told(model, tmp_path):
    with pytest.raises(ValueError, match=r"those of 'm\.pth' are not here \(it names neither"):
        calibration_data(model)
    with pytest.raises(FileNotFoundError, match='has no folder A'):
        calibration_data(model, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder or config at '.*/gone' to calibrate"):
        calibration_data(model, tmp_path / 'gone')


@pytest.mark.parametrize(('options', 'message'), [
    (dict(int8='all'), r"those of 'm\.pth' are not here"),
    (dict(int8='all', six_band=True), 'whose answers cannot be compared here'),
    (dict(int8='words', captions=False), 'none is exported'),
    (dict(calibration='x'), 'which was not asked for: add --int8'),
    (dict(int8='everything'), 'int8='),
])
def test_an_export_that_cannot_be_quantised_ends_before_it_is_written(tmp_path, options, message):
    checkpoint = tiny.save(tmp_path / 'm.pth', tiny.JOINT)
    with pytest.raises(ValueError, match=message):
        export_onnx(None, checkpoint, tmp_path / 'out' / 'm.onnx', ExportOptions(**options))
    assert not (tmp_path / 'out').exists()
