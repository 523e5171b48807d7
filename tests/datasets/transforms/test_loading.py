import cv2
import numpy as np
import pytest
import torch
from scene_files import write_plain

from rscc.datasets.transforms.loading import LoadChangeMask, LoadFrames, PackChangeInputs
from rscc.structures import ChangeDataSample


def frame(*size, value=0):
    return np.full((*size, 3), value, np.uint8)


def results(tmp_path, *frames, **fields):
    paths = {}
    for key, pixels in zip(('img_path_from', 'img_path_to'), frames, strict=False):
        paths[key] = str(tmp_path / f'{key}.png')
        cv2.imwrite(paths[key], pixels)
    return {'sample_id': 'pair_7', **paths, **fields}


def test_a_pair_is_loaded_earlier_date_first(tmp_path):
    loaded = LoadFrames()(results(tmp_path, frame(6, 8, value=1), frame(6, 8, value=2)))
    assert [int(image.max()) for image in loaded['frames']] == [1, 2]
    assert loaded['ori_shape'] == loaded['img_shape'] == (6, 8)


def test_given_arrays_are_kept(tmp_path):
    frames = [frame(5, 5), frame(5, 5)]
    loaded = LoadFrames()({'frames': frames, 'ori_shape': (9, 9)})
    assert loaded['frames'] is frames and loaded['ori_shape'] == (9, 9)
    assert loaded['img_shape'] == (5, 5)


def test_pairs_of_two_sizes_say_both(tmp_path):
    with pytest.raises(ValueError, match=r'pair sizes differ: img_from \(8, 8\), img_to \(8, 6\) '
                       r"in 'pair_7' \('.*from\.png', '.*to\.png'\)\. Crop or resize both"):
        LoadFrames()(results(tmp_path, frame(8, 8), frame(8, 6)))


def test_a_grey_date_beside_an_rgb_one_is_refused(tmp_path):
    sample = results(tmp_path, frame(8, 8), frame(8, 8)[..., 0])
    with pytest.raises(ValueError, match=r"dates of sample 'pair_7' are of different kinds: "
                       r"'.*from\.png' is RGB, '.*to\.png' is grey\. Convert all"):
        LoadFrames()(sample)
    both = results(tmp_path, frame(8, 8, value=3)[..., 0], frame(8, 8, value=4)[..., 0])
    assert [image.shape for image in LoadFrames()(both)['frames']] == [(8, 8, 3)] * 2


@pytest.mark.parametrize(('value', 'found'), [
    (np.zeros((4, 4, 3), np.float32), r'float32 \(4, 4, 3\)'),
    (np.zeros((4, 4), np.uint8), r'uint8 \(4, 4\)'),
    ([[1]], 'list'),
])
def test_frames_of_another_kind_are_refused(value, found):
    with pytest.raises(ValueError, match=f"'pair_7' must be uint8 RGB arrays .*found {found}"):
        LoadFrames()({'sample_id': 'pair_7', 'frames': [value]})


def test_an_unreadable_or_unnamed_image_names_the_sample(tmp_path):
    with pytest.raises(FileNotFoundError, match="sample 'pair_7': no such image"):
        LoadFrames()({'sample_id': 'pair_7', 'img_path': str(tmp_path / 'x.png')})
    with pytest.raises(ValueError, match=r"found none of .* in sample 'pair_7'"):
        LoadFrames()({'sample_id': 'pair_7'})


def test_impossible_scales_are_refused():
    with pytest.raises(ValueError, match=r"scale='minmax' is unknown"):
        LoadFrames(scale='minmax')
    with pytest.raises(ValueError, match=r'scale=\(5, 5\) must be \(low, high\)'):
        LoadFrames(scale=(5, 5))


def test_the_transforms_own_map_comes_before_the_datasets(tmp_path):
    path = tmp_path / 'label.png'
    cv2.imwrite(str(path), np.array([[0, 7]], np.uint8))
    item = {'seg_map_path': str(path), 'label_map': {0: 0, 7: 1}}
    assert LoadChangeMask()(dict(item))['gt_sem_seg'].tolist() == [[0, 1]]
    assert LoadChangeMask({0: 0, 7: 255})(dict(item))['gt_sem_seg'].tolist() == [[0, 255]]
    assert 'gt_sem_seg' not in LoadChangeMask()({'sample_id': 'a'})


def test_a_label_of_another_size_is_refused(tmp_path):
    path = tmp_path / 'label.png'
    cv2.imwrite(str(path), np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"label\.png' is \(4, 4\) \(H, W\), the frames of "
                       r"'pair_7' are \(8, 8\)"):
        LoadChangeMask()({'sample_id': 'pair_7', 'frames': [frame(8, 8)], 'ori_shape': (8, 8),
                          'seg_map_path': str(path)})


def test_a_label_loaded_after_resizing_keeps_the_size_on_disk(tmp_path):
    path = tmp_path / 'label.png'
    cv2.imwrite(str(path), np.zeros((8, 8), np.uint8))
    loaded = LoadChangeMask()({'sample_id': 'a', 'frames': [frame(4, 4)], 'ori_shape': (8, 8),
                               'seg_map_path': str(path)})
    assert loaded['gt_sem_seg'].shape == (8, 8)


def results_packed(**fields):
    frames = [np.full((4, 6, 3), (1, 2, 3), np.uint8), np.full((4, 6, 3), 9, np.uint8)[:, ::-1]]
    return {'sample_id': 's', 'img_path_from': 'a', 'img_path_to': 'b', 'ori_shape': (8, 12),
            'img_shape': (4, 6), 'split': 'train', 'frames': frames, **fields}


def test_dates_become_one_uint8_tensor():
    packed = PackChangeInputs()(results_packed())
    assert packed['inputs'].shape == (2, 3, 4, 6) and packed['inputs'].dtype == torch.uint8
    assert packed['inputs'].is_contiguous()
    assert packed['inputs'][0, :, 0, 0].tolist() == [1, 2, 3]


def test_annotations_become_a_data_sample():
    sample = PackChangeInputs()(results_packed(
        gt_sem_seg=np.full((4, 6), 255, np.uint8), gt_captions=['x'], target_captions=['x'],
        gt_change_flag=np.bool_(True), prompts=(['sea'], [])))['data_samples']
    assert isinstance(sample, ChangeDataSample)
    assert sample.gt_sem_seg.data.shape == (1, 4, 6)
    assert sample.gt_sem_seg.data.dtype == torch.int64 and sample.gt_sem_seg.data.max() == 255
    assert sample.gt_change_flag is True and sample.gt_captions == ['x']
    assert sample.prompts == [['sea'], []]
    assert sample.ori_shape == (8, 12) and sample.img_shape == (4, 6)
    assert sample.img_path_from == 'a' and sample.split == 'train'


def test_what_is_absent_stays_absent():
    sample = PackChangeInputs()(results_packed())['data_samples']
    for name in ('gt_sem_seg', 'gt_captions', 'target_captions', 'gt_change_flag', 'img_path',
                 'prompts'):
        assert name not in sample


def test_stored_features_take_the_place_of_frames():
    features = torch.randn(1, 5, 8).half()
    bare = {'sample_id': 's', 'gt_captions': ['x'], 'features': features}
    packed = PackChangeInputs()(bare)
    assert packed['inputs'] is features and packed['data_samples'].gt_captions == ['x']
    with pytest.raises(ValueError, match="sample 's' has both frames and stored features"):
        PackChangeInputs()(results_packed(features=features))
    with pytest.raises(ValueError, match="sample 's' has neither images nor stored features"):
        PackChangeInputs()({'sample_id': 's'})


@pytest.mark.parametrize('bands', [(3, 2, 1, 4), (2,), (3, 2, 1, 4, 5, 6)])
def test_any_number_of_bands_is_loaded_and_packed(tmp_path, bands):
    pytest.importorskip('rasterio')
    stored = np.random.default_rng(0).integers(0, 3000, (2, 6, 12, 10)).astype(np.uint16)
    paths = [str(write_plain(tmp_path / f'{date}.tif', values))
             for date, values in zip('ab', stored, strict=True)]
    load = LoadFrames(bands=list(bands), scale=[[0, 3000 + band] for band in bands])
    sample = load(dict(sample_id='x', img_path_from=paths[0], img_path_to=paths[1]))
    assert [frame.shape for frame in sample['frames']] == [(12, 10, len(bands))] * 2
    packed = PackChangeInputs()(sample)['inputs']
    assert packed.shape == (2, len(bands), 12, 10)
    wanted = stored[1, bands[-1] - 1] / (3000 + bands[-1]) * 255
    assert np.abs(packed[1, -1].numpy() - wanted).max() <= 0.51


def test_frames_of_another_number_of_bands_are_refused():
    frames = [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)]
    with pytest.raises(ValueError, match=r"'x' must be uint8 RGB arrays \(H, W, 3\); found uint8 "
                       r'\(4, 4, 4\)\. Their number of bands is that of LoadFrames'):
        LoadFrames()(dict(sample_id='x', frames=frames))
    with pytest.raises(ValueError, match=r'uint8 arrays \(H, W, 4\); found uint8 \(4, 4, 3\)'):
        LoadFrames(bands=(1, 2, 3, 4))(dict(sample_id='x', frames=frames))


@pytest.mark.parametrize(('options', 'message'), [
    (dict(bands=(1, 1, 2)), 'names band 1 twice'), (dict(bands=()), 'expected whole numbers'),
    (dict(bands=(3, 2, 1, 4), scale=((0, 1), (0, 1))), r'has 2 pairs for the 4 bands'),
    (dict(scale=((0, 1), (2, 1))), r'must be \(low, high\) with low < high')])
def test_bands_and_scales_are_checked_before_anything_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        LoadFrames(**options)
