import pytest
import torch
from mmengine.structures import PixelData
from testers import data_samples

from rscc.models.data_preprocessor import ChangeDataPreprocessor


def frames(*sizes, dates=2):
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (dates, 3, *size), dtype=torch.uint8, generator=draw)
            for size in sizes]


def test_frames_become_one_normalised_batch():
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    inputs = frames((8, 8), (8, 8))
    batch = ChangeDataPreprocessor(mean, std)(dict(inputs=inputs))['inputs']
    assert batch.shape == (2, 2, 3, 8, 8)
    expected = (inputs[1][0, 2].float() / 255 - 0.6) / 0.1
    torch.testing.assert_close(batch[1, 0, 2], expected)


def test_smaller_samples_are_padded_with_the_mean_and_ignored_masks():
    samples = data_samples(2, size=(8, 8))
    samples[1].gt_sem_seg = PixelData(data=torch.ones(1, 5, 6, dtype=torch.long))
    data = ChangeDataPreprocessor(size_divisor=4)(dict(inputs=frames((8, 9), (5, 6)),
                                                       data_samples=samples))
    assert data['inputs'].shape[-2:] == (8, 12)
    assert data['inputs'][1, :, :, 5:].abs().sum() == 0
    mask = data['data_samples'][1].gt_sem_seg.data
    assert mask.shape == (1, 8, 12)
    assert (mask[0, :5, :6] == 1).all() and (mask[0, 5:] == 255).all()
    assert data['data_samples'][1].img_shape == (5, 6)
    assert data['data_samples'][1].pad_shape == (8, 12)


def test_a_mask_kept_at_its_size_on_disk_is_left_alone():
    samples = data_samples(1, size=(16, 16))
    data = ChangeDataPreprocessor()(dict(inputs=frames((8, 8)), data_samples=samples))
    assert data['data_samples'][0].gt_sem_seg.data.shape == (1, 16, 16)


def test_padding_changes_no_pixel_of_the_image():
    inputs = frames((8, 8), (6, 8))
    both = ChangeDataPreprocessor()(dict(inputs=inputs))['inputs']
    alone = ChangeDataPreprocessor()(dict(inputs=inputs[1:]))['inputs']
    assert torch.equal(both[1, ..., :6, :], alone[0])


def test_channels_last_changes_the_layout_and_not_the_values():
    inputs = frames((8, 8))
    plain = ChangeDataPreprocessor()(dict(inputs=inputs))['inputs']
    last = ChangeDataPreprocessor(channels_last=True)(dict(inputs=inputs))['inputs']
    assert torch.equal(plain, last)
    assert last.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_statistics_on_the_byte_scale_are_refused():
    with pytest.raises(ValueError, match='divide both by 255'):
        ChangeDataPreprocessor(mean=(100.7, 99.5, 85.0), std=(50.9, 48.5, 44.7))


def test_anything_but_bytes_is_refused():
    with pytest.raises(ValueError, match='PackChangeInputs'):
        ChangeDataPreprocessor()(dict(inputs=[torch.zeros(2, 3, 8, 8)]))


def test_a_batch_of_pairs_and_single_images_is_refused():
    with pytest.raises(ValueError, match=r'mixes samples of \[1, 2\] dates'):
        ChangeDataPreprocessor()(dict(inputs=frames((8, 8)) + frames((8, 8), dates=1)))
