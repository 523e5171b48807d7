import pytest
import torch
from mmengine.structures import PixelData
from testers import data_samples

from rscc.models.contracts import Normalisation
from rscc.models.data_preprocessor import (
    ChangeDataPreprocessor,
    normalisation_record,
    restore_normalisation,
)
from rscc.registry import MODELS


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


SEEN = Normalisation((0.1, 0.2, 0.3, 0.4), (0.5, 0.6, 0.7, 0.8), 'weights of a test')


def test_without_statistics_in_the_config_those_of_the_weights_are_taken():
    preprocessor = ChangeDataPreprocessor()
    preprocessor.adopt(SEEN, 4)
    inputs = torch.full((2, 4, 8, 8), 51, dtype=torch.uint8)  # 0.2 on the 0-1 scale
    batch = preprocessor(dict(inputs=[inputs]))['inputs']
    expected = torch.tensor([(0.2 - mean) / std for mean, std in zip(SEEN.mean, SEEN.std,
                                                                     strict=True)])
    torch.testing.assert_close(batch[0, 1, :, 3, 3], expected)
    assert preprocessor.normalisation.source == 'weights of a test'
    # Pictures show red, green and blue.
    shown = preprocessor.denormalise(batch)
    assert shown.shape == (1, 2, 3, 8, 8)
    torch.testing.assert_close(shown, torch.full_like(shown, 0.2))


def test_statistics_of_the_config_win_over_those_of_the_weights():
    preprocessor = ChangeDataPreprocessor((0.4,) * 4, (0.2,) * 4)
    preprocessor.adopt(SEEN, 4)
    assert preprocessor.mean.flatten().tolist() == pytest.approx([0.4] * 4)
    assert preprocessor.normalisation.source == 'the config'


def test_statistics_of_another_number_of_bands_are_refused():
    with pytest.raises(ValueError, match='3 bands and the encoder takes images of 4'):
        ChangeDataPreprocessor((0.4,) * 3, (0.2,) * 3).adopt(None, 4)
    with pytest.raises(ValueError, match='mean has 3 numbers and std 4'):
        ChangeDataPreprocessor((0.4,) * 3, (0.2,) * 4)


def test_images_of_another_number_of_bands_are_refused():
    preprocessor = ChangeDataPreprocessor()
    preprocessor.adopt(None, 4)
    with pytest.raises(ValueError, match=r'takes images of 4 bands, found 3.*LoadFrames\(bands='):
        preprocessor(dict(inputs=frames((8, 8))))


def flag_model(**preprocessor):
    return MODELS.build(dict(
        type='ChangeInterpreter', encoder=dict(type='StoredFeatures', channels=8),
        fusion=dict(type='DifferenceFusion', channels=8),
        flag_head=dict(type='ChangeFlagHead', in_channels=24),
        data_preprocessor=dict(type='ChangeDataPreprocessor', **preprocessor)))


THREE = Normalisation((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), 'weights of a test')
RECORD = dict(meta=dict(normalisation=THREE.as_dict()))


def test_a_checkpoint_brings_the_normalisation_that_it_was_trained_with():
    model = flag_model()
    restore_normalisation(model, RECORD, missing=['flag_head.classifier.1.weight'])
    assert model.data_preprocessor.normalisation == THREE


def test_a_checkpoint_leaves_alone_what_a_config_says():
    model = flag_model(mean=(0.4, ) * 3, std=(0.2, ) * 3)
    restore_normalisation(model, RECORD)
    assert model.data_preprocessor.normalisation.mean == (0.4, ) * 3


@pytest.mark.parametrize(('checkpoint', 'missing'), [
    ({}, ()), (RECORD, ['encoder.model.conv1.weight']),
    (dict(meta=dict(normalisation=SEEN.as_dict())), ())],
    ids=['weights alone', 'of another encoder', 'of other bands'])
def test_a_checkpoint_of_something_else_changes_no_normalisation(checkpoint, missing):
    model = flag_model()
    before = model.data_preprocessor.normalisation
    restore_normalisation(model, checkpoint, missing)
    assert model.data_preprocessor.normalisation == before


def test_a_checkpoint_from_before_the_record_saw_the_default():
    model = flag_model()
    model.data_preprocessor.adopt(THREE, 3)
    restore_normalisation(model, dict(meta=dict(cfg='...')))
    assert model.data_preprocessor.normalisation.mean == (0.5, ) * 3


def test_heads_that_were_trained_on_features_leave_the_normalisation_to_the_encoder():
    record, model = normalisation_record(flag_model()), flag_model()
    assert record == dict(normalisation=None)
    model.data_preprocessor.adopt(THREE, 3)
    restore_normalisation(model, dict(meta=record))
    assert model.data_preprocessor.normalisation == THREE


def test_mean_without_std_is_refused():
    with pytest.raises(ValueError, match='mean or std alone'):
        ChangeDataPreprocessor(mean=(0.4, ) * 3)


def test_a_damaged_record_of_the_normalisation_is_named():
    with pytest.raises(ValueError, match='the normalisation in the checkpoint: mean'):
        restore_normalisation(flag_model(), dict(meta=dict(normalisation=dict(
            mean='x', std=[0.5], source='y'))))


def test_training_batches_take_one_of_the_sizes_with_their_masks():
    preprocessor = MODELS.build(dict(type='ChangeDataPreprocessor',
                                     train_sizes=[(32, 32), (48, 40)]))
    seen = set()
    torch.manual_seed(0)
    for _ in range(20):
        samples = data_samples(2, size=(64, 64))
        batch = preprocessor(dict(inputs=frames((64, 64), (64, 64)), data_samples=samples), True)
        size = tuple(batch['inputs'].shape[-2:])
        seen.add(size)
        assert all(tuple(sample.gt_sem_seg.data.shape[-2:]) == size == sample.img_shape
                   for sample in batch['data_samples'])
    assert seen == {(32, 32), (48, 40)}
    tested = preprocessor(dict(inputs=frames((64, 64))), False)
    assert tuple(tested['inputs'].shape[-2:]) == (64, 64)
