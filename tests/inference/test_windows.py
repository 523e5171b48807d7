import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData

from rscc.inference.windows import Window, WindowedImage, class_probabilities, training_window
from rscc.models.batch_rows import classes_by_date
from rscc.structures import ChangeDataSample, ScoredCaption

LOAD, PACK = dict(type='LoadFrames'), dict(type='PackChangeInputs')


def config(*steps, crop=None, cache=None):
    """A config whose test pipeline resizes as said and whose training pipeline crops."""
    middle = [dict(type='FramesResize', size=size) for size in steps]
    test = dict(type='LEVIRCCDataset', pipeline=[LOAD, *middle, PACK])
    train = dict(type='LEVIRCCDataset', pipeline=[
        LOAD, *middle, *([dict(type='FramesRandomCrop', size=crop)] if crop else []), PACK])
    if cache:
        test['cache'] = dict(size=cache)
    return Config(dict(train_dataloader=dict(dataset=train), test_dataloader=dict(dataset=test)))


@pytest.mark.parametrize(('cfg', 'image', 'size', 'resized'), [
    (config(cache=(128, 128)), (256, 256), (256, 256), (128, 128)),  # the quickstart
    (config(), (256, 256), (256, 256), None),  # LEVIR-CC
    (config(224), (500, 400), (500, 400), (224, 224)),  # Sydney
    (config(crop=(256, 256)), (1024, 1024), (256, 256), None),  # large images, cropped
    (config(crop=512), (256, 256), (256, 256), None),  # a crop larger than the images
    (config(512, crop=256), (1024, 1024), (512, 512), (512, 512)),  # a crop of a resized image
    (config(), None, None, None),
    (config(cache=(64, 64)), None, None, (64, 64)),
])
def test_a_window_covers_what_a_training_image_covered(cfg, image, size, resized):
    window = training_window(cfg, {'image_size': image})
    assert (window.size, window.resized) == (size, resized)
    assert size is None or window.overlap == (size[0] // 4, size[1] // 4)


def test_size_and_overlap_may_be_given():
    window = training_window(config(cache=(128, 128)), {}, size=100, overlap=10)
    assert (window.size, window.overlap) == ((100, 100), (10, 10))
    with pytest.raises(ValueError, match='cannot overlap by 100: give an overlap from 0 to 99'):
        training_window(config(), {}, size=100, overlap=100)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(size=0), r'^window=0: expected a whole number of pixels, at least 1$'),
    (dict(size=-5), 'window=-5: '), (dict(size=2.5), r'window=2\.5: '),
    (dict(size=(64, 64)), r'window=\(64, 64\): '),
    (dict(size=64, overlap=-1), 'overlap=-1: expected a whole number of pixels, at least 0'),
    (dict(size=64, overlap=0.25), r'overlap=0\.25: ')])
def test_sizes_that_are_no_pixels_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        training_window(config(), {}, **options)


def frames(height, width, dates=2):
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (dates, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize('size', [(64, 64), (40, 64), (64, 20)])
def test_an_image_that_fits_one_window_is_taken_whole(size):
    images = frames(*size)
    image = WindowedImage(images, Window((64, 64), None, (16, 16)))
    assert len(image) == 1 and next(image.windows()) is images
    assert len(WindowedImage(images, Window(None))) == 1


def answer(mask_logits=None, text=None):
    sample = ChangeDataSample()
    if mask_logits is not None:
        sample.seg_logits = PixelData(data=mask_logits)
        best = mask_logits.argmax(0, keepdim=True) if len(mask_logits) > 1 else mask_logits > 0
        sample.pred_sem_seg = PixelData(data=best.long())
    if text is not None:
        sample.pred_captions = [ScoredCaption(text, -1.0)]
    return sample


def logits_of(windows, classes):
    """Logits that depend on single pixels, so that windows agree where they overlap."""
    later = torch.from_numpy(np.array(windows[-1])).float().permute(2, 0, 1)
    return {1: later[:1] - 128, 2: torch.stack([128 - later[0], later[0] - 128]),
            3: later}[classes]


@pytest.mark.parametrize('classes', [1, 2, 3])
@pytest.mark.parametrize('size', [(150, 210), (30, 200), (65, 64), (64, 129), (200, 31)])
def test_windows_give_the_map_of_the_whole_image(size, classes):
    images = frames(*size)
    image = WindowedImage(images, Window((64, 48), None, (16, 9)))
    assert len(image) > 1
    for window in image.windows():
        assert all(frame.shape == (64, 48, 3) for frame in window)
        image.add(answer(logits_of(window, classes)))
    assert image.complete and image.mask.shape == size and image.mask.dtype == np.uint8
    whole = logits_of(images, classes)
    expected = whole.argmax(0) if classes > 1 else whole[0] > 0
    # Where two classes are equal in the last bit, blending may choose the other one.
    assert (image.mask != expected.numpy()).mean() < 0.01


def test_windows_cover_the_image_and_say_where_they_lie():
    image = WindowedImage(frames(100, 130), Window((64, 64), None, (16, 16)))
    for _ in image.windows():
        image.add(answer(torch.zeros(2, 64, 64), 'no change'))
    seen = np.zeros((100, 130), int)
    for window in image.answers:
        left, top, right, bottom = window.box
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1 and image.answers[0].captions[0].text == 'no change'


def test_a_threshold_decides_single_channel_maps():
    low, high = (WindowedImage(frames(70, 70), Window((64, 64)), threshold)
                 for threshold in (0.4, 0.6))
    for image in (low, high):
        for _ in image.windows():
            image.add(answer(torch.zeros(1, 64, 64)))
    assert low.mask.all() and not high.mask.any()


def test_models_that_give_classes_alone_are_blended_too():
    sample = ChangeDataSample()
    sample.pred_sem_seg = PixelData(data=torch.tensor([[[0, 2], [1, 0]]]))
    assert class_probabilities(sample).tolist() == [[0, 1], [1, 0]]


def semantic_answer(window):
    """Classes of each date told from single pixels of it, so that windows agree."""
    dates = [torch.from_numpy(np.array(frame)).float().permute(2, 0, 1) / 8 for frame in window]
    sample = answer(logits_of(window, 2))
    sample.seg_logits_from, sample.seg_logits_to = (PixelData(data=logits) for logits in dates)
    maps = classes_by_date(*dates, sample.pred_sem_seg.data != 0, same_class=False)
    sample.pred_sem_seg_from, sample.pred_sem_seg_to = (PixelData(data=classes)
                                                        for classes in maps)
    return sample


def test_class_maps_of_windows_are_those_of_the_whole_image_and_agree_with_the_mask():
    images = frames(100, 130)
    whole = WindowedImage(images, Window(None), same_class=False)
    whole.add(semantic_answer(images))
    parts = WindowedImage(images, Window((64, 48), None, (16, 9)), same_class=False)
    for window in parts.windows():
        parts.add(semantic_answer(window))
    assert parts.date_maps.shape == (2, 100, 130) and parts.date_maps.dtype == np.uint8
    assert (parts.date_maps != whole.date_maps).mean() < 0.01
    for image in (whole, parts):
        changed, (earlier, later) = image.mask != 0, image.date_maps
        assert (earlier[~changed] == later[~changed]).all()
        assert (earlier[changed] != later[changed]).all()
        assert {*np.unique(earlier), *np.unique(later)} == {1, 2, 3}
