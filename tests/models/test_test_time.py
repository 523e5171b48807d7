import pytest
import torch
from testers import batch, build_interpreter

from rscc.models.test_time import (
    VIEWS,
    TestTime,
    average_views,
    slide,
    undo_view,
    view,
    window_corners,
)


@pytest.mark.parametrize('size, crop, stride, expected', [
    ((8, 8), (8, 8), (4, 4), [(0, 0)]),
    ((8, 12), (8, 8), (4, 4), [(0, 0), (0, 4)]),
    ((9, 8), (4, 8), (3, 8), [(0, 0), (3, 0), (5, 0)]),
    ((4, 6), (8, 8), (8, 8), [(0, 0)])])
def test_windows_cover_the_image_and_the_last_is_shifted_inside(size, crop, stride, expected):
    assert window_corners(size, crop, stride) == expected


def test_a_scene_of_1024_has_49_windows_of_256_by_128():
    assert len(window_corners((1024, 1024), (256, 256), (128, 128))) == 49


def brightness(windows, rows=None):
    """Two channels per pixel, independent of the other pixels."""
    means = windows.mean((1, 2))
    return torch.stack([means, -means], 1)


@pytest.mark.parametrize('window_batch', [1, 3, 100])
def test_averaging_windows_of_a_pixelwise_model_changes_nothing(window_batch):
    inputs = torch.randn(2, 2, 3, 9, 13)
    options = TestTime(mode='slide', crop_size=(4, 6), stride=(3, 4), window_batch=window_batch)
    torch.testing.assert_close(slide(brightness, inputs, options), brightness(inputs))


def test_overlapping_windows_are_averaged():
    calls = []

    def numbered(windows, rows):
        calls.append(rows)
        return torch.full((len(windows), 1, 4, 4), float(len(calls)))

    options = TestTime(mode='slide', crop_size=(4, 4), stride=(4, 2), window_batch=1)
    logits = slide(numbered, torch.zeros(1, 2, 3, 4, 6), options)
    assert calls == [[0], [0]]
    assert logits[0, 0, 0].tolist() == [1, 1, 1.5, 1.5, 2, 2]


def test_windows_of_several_samples_share_a_batch():
    rows_seen = []

    def logits_of(windows, rows):
        rows_seen.append(rows)
        return windows.new_zeros(len(windows), 2, 4, 4)

    options = TestTime(mode='slide', crop_size=(4, 4), stride=(4, 4), window_batch=3)
    slide(logits_of, torch.zeros(2, 2, 3, 4, 8), options)
    assert rows_seen == [[0, 0, 1], [1]]


@pytest.mark.parametrize('name', VIEWS)
def test_a_view_is_undone_exactly(name):
    images = torch.randn(2, 3, 4, 6)
    shown = view(images, name)
    assert shown.shape[-2:] == ((6, 4) if name in ('rot90', 'rot270') else (4, 6))
    assert torch.equal(undo_view(shown, name), images)


def test_views_do_what_their_names_say():
    image = torch.tensor([[1, 2], [3, 4]])
    shown = {name: view(image, name).tolist() for name in VIEWS}
    assert shown == dict(none=[[1, 2], [3, 4]], hflip=[[2, 1], [4, 3]], vflip=[[3, 4], [1, 2]],
                         rot90=[[2, 4], [1, 3]], rot180=[[4, 3], [2, 1]], rot270=[[3, 1], [4, 2]])


def test_probabilities_of_the_views_are_averaged():
    answers = iter([torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])])

    def logits_of(images):
        return next(answers).reshape(1, 2, 1, 1).expand(1, 2, *images.shape[-2:])

    logits = average_views(logits_of, torch.zeros(1, 2, 3, 2, 2), ('none', 'rot90'))
    expected = (torch.tensor([2.0, 0]).softmax(0) + torch.tensor([0, 1.0]).softmax(0)) / 2
    torch.testing.assert_close(logits.softmax(1)[0, :, 0, 0], expected)


def test_a_single_channel_is_averaged_as_a_probability():
    answers = iter([torch.tensor(2.0), torch.tensor(-1.0)])
    logits = average_views(lambda images: next(answers).expand(1, 1, 2, 2),
                           torch.zeros(1, 2, 3, 2, 2), ('none', 'hflip'))
    expected = (torch.tensor(2.0).sigmoid() + torch.tensor(-1.0).sigmoid()) / 2
    torch.testing.assert_close(logits.sigmoid()[0, 0, 0, 0], expected)


@pytest.mark.parametrize('fields, message', [
    (dict(mode='slid'), r"test_cfg.mode: 'slid' is unknown.*Did you mean 'slide'"),
    (dict(views=('hflp',)), r"views: 'hflp' is unknown.*Did you mean 'hflip'"),
    (dict(views=()), 'views is empty'),
    (dict(views='hflip'), r"views='hflip' must be a list: \('hflip',\)"),
    (dict(crop_size=256), r'test_cfg.crop_size=256 must be \(height, width\) in pixels'),
    (dict(stride=(8, 8, 8)), r'test_cfg.stride=\(8, 8, 8\) must be'),
    (dict(prompts='windows'), "Did you mean 'window'"),
    (dict(stride=(300, 128)), r'stride=\(300, 128\) must be positive and at most crop_size'),
    (dict(window_batch=0), 'window_batch=0 must be 1 or more')])
def test_wrong_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TestTime(**fields)


def test_the_interpreter_refuses_a_setting_it_does_not_know():
    with pytest.raises(ValueError, match=r"test_cfg has no 'crop'.*Did you mean 'crop_size'"):
        build_interpreter(test_cfg=dict(crop=3))


def masks(model, data):
    return torch.stack([sample.seg_logits.data for sample in model.test_step(data)])


def test_one_window_over_the_whole_image_is_the_whole_image():
    model = build_interpreter(caption_head=None).eval()
    whole = masks(model, batch())
    model.test_cfg = dict(mode='slide', crop_size=(64, 64), stride=(64, 64))
    torch.testing.assert_close(masks(model, batch()), whole)


def test_windows_and_views_leave_sentences_and_flags_alone():
    model = build_interpreter().eval()
    plain = model.test_step(batch())
    model.test_cfg = dict(mode='slide', crop_size=(32, 32), stride=(32, 32), views=tuple(VIEWS))
    for one, other in zip(plain, model.test_step(batch()), strict=True):
        assert one.pred_caption == other.pred_caption
        assert one.pred_change_score == other.pred_change_score
        assert not torch.allclose(one.seg_logits.data, other.seg_logits.data, atol=1e-3)


def test_all_views_of_a_turned_image_give_the_turned_map():
    model = build_interpreter(caption_head=None, flag_head=None).eval()
    model.test_cfg = dict(views=('none', 'rot90', 'rot180', 'rot270'))
    data = batch(size=(32, 64))
    plain = masks(model, data)
    turned = batch(size=(32, 64))
    turned['inputs'] = [frames.rot90(1, (-2, -1)).contiguous() for frames in turned['inputs']]
    for sample in turned['data_samples']:
        sample.set_metainfo(dict(ori_shape=(64, 32)))
    torch.testing.assert_close(masks(model, turned), plain.rot90(1, (-2, -1)), atol=1e-4,
                               rtol=1e-4)
