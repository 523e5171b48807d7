import numpy as np
import pytest
from PIL import Image

from rscc.datasets.synth_change import SynthChangeDataset

LOAD = [{'type': 'LoadFrames'}, {'type': 'LoadChangeMask'}, {'type': 'PickCaptions', 'no_change': {
    'en': 'the scene is the same as before', 'zh': '场景和之前一样'}}, {'type': 'PackChangeInputs'}]


@pytest.fixture
def synth(levir):
    """The fake dataset with labels as the renderer writes them: palette PNGs."""
    for number in range(4):
        indices = np.zeros((32, 32), np.uint8)
        indices[:6, :6] = number + 2
        image = Image.fromarray(indices, 'P')
        image.putpalette([255, 0, 0] * 256)
        image.save(levir / f'images/train/label/train_{number:06d}.png')
    return levir


def test_palette_labels_are_read_by_index(synth):
    dataset = SynthChangeDataset(str(synth), pipeline=LOAD)
    assert dataset.metainfo['classes'][4] == 'water' and len(dataset.metainfo['palette']) == 6
    for number in range(4):
        assert set(dataset[number]['data_samples'].gt_sem_seg.data.unique().tolist()) == {
            0, number + 2}


def test_chinese_captions_and_their_stock_sentence(synth):
    dataset = SynthChangeDataset(str(synth), language='zh', pipeline=LOAD)
    assert dataset.metainfo['language'] == 'zh'
    assert dataset.metainfo['no_change_captions'][0] == '没有差异'
    assert dataset[0]['data_samples'].gt_captions[0] == '左边出现一栋房子'
    assert dataset[1]['data_samples'].target_captions == ['场景和之前一样']
