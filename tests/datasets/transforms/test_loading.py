import cv2
import numpy as np
import pytest

from rscc.datasets.transforms.loading import LoadChangeMask, LoadFrames


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
