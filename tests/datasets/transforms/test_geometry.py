"""Every geometric transform: one draw for all dates and the mask, decided by the sample's rng."""
import cv2
import numpy as np
import pytest
from data_testers import TransformTester

from rscc.datasets.transforms.captions import FramesExchangeDates
from rscc.datasets.transforms.geometry import (
    FramesMisalign,
    FramesRandomCrop,
    FramesRandomFlip,
    FramesRandomRotate,
    FramesRandomRotate90,
    FramesResize,
)
from rscc.registry import TRANSFORMS


def sample(seed=0, size=(16, 24), captions=('a house appears', ), **fields):
    """A smooth scene in which date, mask and position can be told from each other."""
    rows, columns = np.mgrid[:size[0], :size[1]]
    scene = np.dstack([rows * 8, columns * 8, rows * 4 + columns * 4]).astype(np.uint8)
    return {'sample_id': 's', 'rng': np.random.default_rng(seed), 'frames': [scene, scene.copy()],
            'gt_sem_seg': (rows * 4 + columns * 4 > 90).astype(np.uint8),
            'gt_captions': list(captions), 'language': 'en', 'gt_change_flag': False, **fields}


class TestHorizontalFlip(TransformTester):
    cfg = dict(type='FramesRandomFlip', prob=1.0)
    told = 'a house appears on the right'


class TestVerticalFlip(TransformTester):
    cfg = dict(type='FramesRandomFlip', prob=1.0, direction='vertical')


class TestFlipOfSamplesWithoutDirections(TransformTester):
    cfg = dict(type='FramesRandomFlip', prob=1.0, captions='skip')
    told = None


class TestQuarterTurn(TransformTester):
    cfg = dict(type='FramesRandomRotate90', prob=1.0)
    told = 'a house appears on the right'  # seed 0 turns by two quarters


class TestFreeRotation(TransformTester):
    cfg = dict(type='FramesRandomRotate', max_angle=40, prob=1.0)
    told = None


class TestRandomCrop(TransformTester):
    cfg = dict(type='FramesRandomCrop', size=(9, 13))


class TestResize(TransformTester):
    cfg = dict(type='FramesResize', size=(10, 14))


class TestExchangeOfDates(TransformTester):
    cfg = dict(type='FramesExchangeDates', prob=1.0)


class TestMisalignment(TransformTester):
    cfg = dict(type='FramesMisalign', prob=1.0)
    moves, alike = False, False


def test_a_flip_mirrors_pixels_and_words():
    before = sample(captions=['a house appears on the left', 'a road is built'])
    scene = before['frames'][0]
    out = FramesRandomFlip(prob=1.0)(before)
    assert np.array_equal(out['frames'][0], scene[:, ::-1])
    assert out['gt_captions'] == ['a house appears on the right', 'a road is built']
    assert out['flip'] == ['horizontal']
    down = FramesRandomFlip(prob=1.0, direction='vertical')(
        sample(captions=['a house appears at the top']))
    assert np.array_equal(down['frames'][0], scene[::-1])
    assert down['gt_captions'] == ['a house appears at the bottom']


def test_chinese_words_are_mirrored_too():
    out = FramesRandomFlip(prob=1.0)(sample(captions=['左边出现一栋房子'], language='zh'))
    assert out['gt_captions'][0] != '左边出现一栋房子' and '右' in out['gt_captions'][0]


def test_skip_leaves_a_sample_that_names_a_direction():
    before = sample(captions=['a house appears on the left'])
    out = FramesRandomFlip(prob=1.0, captions='skip')(before)
    assert 'flip' not in out and out['gt_captions'] == ['a house appears on the left']
    assert 'flip' in FramesRandomFlip(prob=1.0, captions='skip')(sample())


def test_words_that_cannot_be_swapped_stop_the_flip(monkeypatch):
    from rscc.datasets.transforms import captions
    monkeypatch.setattr(captions, 'swap', lambda text, operation, language: None)
    out = FramesRandomFlip(prob=1.0)(sample())
    assert 'flip' not in out and np.array_equal(out['frames'][0], sample()['frames'][0])


def test_the_picked_caption_decides_and_other_references_may_fall_away(monkeypatch):
    from rscc.datasets.transforms import captions
    monkeypatch.setattr(captions, 'swap',
                        lambda text, operation, language: None if 'odd' in text else text + '!')
    out = FramesRandomFlip(prob=1.0)(sample(captions=['odd', 'b'], target_captions=['b']))
    assert out['flip'] and out['target_captions'] == ['b!'] and out['gt_captions'] == ['b!']
    kept = FramesRandomFlip(prob=1.0)(sample(captions=['odd', 'b'], target_captions=['odd']))
    assert 'flip' not in kept and kept['gt_captions'] == ['odd', 'b']


def test_drop_removes_the_captions():
    out = FramesRandomFlip(prob=1.0, captions='drop')(sample(captions=['on the left']))
    assert 'gt_captions' not in out and out['flip']


@pytest.mark.parametrize('seed', range(6))
def test_a_quarter_turn_turns_the_words(seed):
    before = sample(seed=seed, captions=['a house appears at the top'])
    scene = before['frames'][0]
    out = FramesRandomRotate90(prob=1.0)(before)
    where = {(24, 16): {'left', 'right'}, (16, 24): {'bottom'}}[out['frames'][0].shape[:2]]
    # The scene's darkest corner is its upper left one: rotated by hand, it must be the same image.
    quarters = next(k for k in (1, 2, 3)
                    if np.array_equal(np.rot90(scene, k), out['frames'][0]))
    word = {1: 'left', 2: 'bottom', 3: 'right'}[quarters]
    assert word in where and word in out['gt_captions'][0].split()
    assert out['img_shape'] == out['frames'][0].shape[:2]


def test_a_free_rotation_ignores_the_border_and_spares_directions():
    out = FramesRandomRotate(max_angle=45, prob=1.0)(sample(seed=1, size=(32, 32)))
    assert (out['gt_sem_seg'] == 255).any() and out['gt_sem_seg'][16, 16] != 255
    assert out['frames'][0].shape == (32, 32, 3)
    kept = FramesRandomRotate(max_angle=45, prob=1.0)(sample(captions=['a house on the left']))
    assert (kept['gt_sem_seg'] != 255).all()


def test_the_border_of_a_free_angle_is_mirrored_or_black():
    bright = [np.full((32, 32, 3), 200, np.uint8)] * 2
    for border, darkest in (('reflect', 200), ('black', 0)):
        turn = FramesRandomRotate(max_angle=45, prob=1.0, border=border)
        assert turn(sample(seed=1, frames=bright, gt_sem_seg=np.zeros((32, 32), np.uint8)))[
            'frames'][0].min() == darkest


def test_a_crop_keeps_the_change_when_asked():
    for seed in range(8):
        item = sample(seed=seed, size=(64, 64))
        item['gt_sem_seg'] = np.zeros((64, 64), np.uint8)
        item['gt_sem_seg'][40:46, 40:46] = 2
        assert FramesRandomCrop(48, keep_change=0.5)(item)['gt_sem_seg'].astype(bool).sum() >= 18


def test_a_zoomed_crop_shows_less_and_larger_with_the_mask_on_it():
    rows = np.repeat(np.arange(64, dtype=np.uint8)[:, None] * 3, 64, 1)
    sides = set()
    for seed in range(8):
        item = sample(seed=seed, frames=[np.dstack([rows] * 3)] * 2,
                      gt_sem_seg=(rows > 90).astype(np.uint8))
        out = FramesRandomCrop(48, zoom=(1.0, 2.0))(item)
        assert out['img_shape'] == (48, 48) == out['gt_sem_seg'].shape
        seen = out['frames'][1][..., 0].astype(int)
        assert ((seen > 90) == out['gt_sem_seg']).mean() > 0.95
        sides.add(round((seen[-5, 0] - seen[4, 0]) / 3 * 48 / 39))  # 39 rows of the crop apart
    assert min(sides) >= 23 and max(sides) <= 49 and len(sides) > 3
    with pytest.raises(ValueError, match=r'zoom=\(0\.5, 1\) must be .* factors of 1 and more'):
        FramesRandomCrop(8, zoom=(0.5, 1))


def test_crops_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"sample 's' is \(16, 24\) \(H, W\), smaller than the "
                       r'crop \(32, 32\).*FramesResize'):
        FramesRandomCrop(32)(sample())
    item = sample()
    del item['gt_sem_seg']
    with pytest.raises(ValueError, match="needs a mask; sample 's' has none"):
        FramesRandomCrop(8, keep_change=0.5)(item)
    with pytest.raises(ValueError, match='keep_change=2 must be a share'):
        FramesRandomCrop(8, keep_change=2)


def test_resizing_invents_no_class_and_keeps_the_ratio_on_request():
    item = sample(size=(16, 32))
    item['gt_sem_seg'][:8] = 255
    out = FramesResize(24, keep_ratio=True)(item)
    assert out['img_shape'] == (12, 24) and set(np.unique(out['gt_sem_seg'])) <= {0, 1, 255}
    with pytest.raises(ValueError, match='must be positive'):
        FramesResize((0, 4))


def exchanged(transform, **fields):
    item = sample(img_path_from='a', img_path_to='b', **fields)
    item['frames'][1] = item['frames'][1] + 1
    first = item['frames'][0]
    out = transform(item)
    return np.array_equal(out['frames'][1], first) and out['img_path_from'] == 'b', out


def test_only_unchanged_pairs_exchange_their_dates():
    done, out = exchanged(FramesExchangeDates(prob=1.0))
    assert done and out['gt_captions'] == ['a house appears']
    assert not exchanged(FramesExchangeDates(prob=1.0), gt_change_flag=True)[0]
    done, out = exchanged(FramesExchangeDates(prob=1.0, captions='drop'), gt_change_flag=True)
    assert done and 'gt_captions' not in out and 'gt_sem_seg' in out
    _, out = exchanged(FramesExchangeDates(prob=1.0), prompts=[['sea'], ['road']])
    assert out['prompts'] == [['road'], ['sea']]


def test_captions_of_a_changed_pair_are_mirrored_with_it():
    mirroring = FramesExchangeDates(prob=1.0, captions='mirror')
    done, out = exchanged(mirroring, gt_change_flag=True, target_captions=['a house is built'])
    assert done and out['gt_captions'] == ['a house disappears']
    assert out['target_captions'] == ['a house is removed'] and 'gt_sem_seg' in out
    # One of several sentences cannot be turned: the others are kept.
    done, out = exchanged(mirroring, gt_change_flag=True,
                          gt_captions=['a house appears', 'now there is a house'])
    assert done and out['gt_captions'] == ['a house disappears']
    # None can: the pair stays as it is.
    done, out = exchanged(mirroring, gt_change_flag=True, gt_captions=['now there is a house'])
    assert not done and out['gt_captions'] == ['now there is a house']
    # Of two languages, both are needed.
    both = dict(gt_change_flag=True, languages=('en', 'zh'))
    done, out = exchanged(mirroring, all_captions=['a house appears', '新建了一栋房屋'], **both)
    assert done and out['all_captions'] == ['a house disappears', '拆除了一栋房屋']
    assert not exchanged(mirroring, all_captions=['a house appears', '房屋更密集'], **both)[0]
    done, out = exchanged(mirroring)
    assert done and out['gt_captions'] == ['a house appears'], 'unchanged pairs keep theirs'


def test_exchanging_needs_a_pair():
    item = sample()
    item['frames'] = item['frames'][:1]
    with pytest.raises(ValueError, match=r"needs a pair; sample 's' has 1 frame\(s\)"):
        FramesExchangeDates()(item)


def test_unknown_options_name_the_nearest():
    with pytest.raises(ValueError, match=r"captions='swpa' is unknown.*Did you mean 'swap'"):
        FramesRandomFlip(captions='swpa')
    with pytest.raises(ValueError, match=r"direction='horizontl' is .*Did you mean 'horizontal'"):
        FramesRandomFlip(direction='horizontl')
    with pytest.raises(ValueError, match=r"captions='swap' is .*use one of \['skip', 'drop'\]"):
        FramesRandomRotate(captions='swap')
    with pytest.raises(ValueError, match=r'max_angle=0 must be in \(0, 180\] degrees'):
        FramesRandomRotate(max_angle=0)
    with pytest.raises(ValueError, match=r"border='blak' is unknown.*Did you mean 'black'"):
        FramesRandomRotate(border='blak')


@pytest.mark.parametrize('bands', [1, 2, 4, 5, 10])
@pytest.mark.parametrize('step', [
    dict(type='FramesResize', size=(13, 29)), dict(type='FramesRandomCrop', size=(9, 7)),
    dict(type='FramesRandomCrop', size=(20, 20), zoom=(1.5, 2)),
    dict(type='FramesRandomFlip', prob=1.0), dict(type='FramesRandomRotate90', prob=1.0),
    dict(type='FramesRandomRotate', prob=1.0), dict(type='FramesExchangeDates', prob=1.0)],
    ids=lambda step: step['type'])
def test_every_band_moves_as_those_of_a_picture_do(bands, step):
    frames = np.random.default_rng(0).integers(0, 256, (2, 24, 32, bands), dtype=np.uint8)

    def moved(pixels):
        sample = dict(rng=np.random.default_rng(3), frames=list(pixels), gt_captions=[],
                      gt_change_flag=False, language='en')
        return TRANSFORMS.build(step)(sample)['frames']

    together = moved(frames)
    assert all(frame.ndim == 3 and frame.shape[2] == bands for frame in together)
    for band in range(bands):
        alone = moved(frames[..., [band, band, band]])
        for frame, single in zip(together, alone, strict=True):
            # OpenCV rounds four channels at once in another way than three.
            assert np.abs(frame[..., band].astype(int) - single[..., 0]).max() <= 6


def blotches(bands=3):
    rough = np.random.default_rng(0).integers(0, 256, (128, 128, bands), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(rough, (0, 0), 1), None, 0, 255, cv2.NORM_MINMAX)


def shift_between(frame, moved):
    """Return (x, y) by which one image is moved: the slope of the phase between their spectra."""
    window = cv2.createHanningWindow(frame.shape[1::-1], cv2.CV_64F)
    before, after = (np.fft.fft2((image[..., 0] - image[..., 0].mean()) * window)
                     for image in (frame, moved))
    cross = after * before.conj()
    rows, columns = np.meshgrid(*map(np.fft.fftfreq, frame.shape[:2]), indexing='ij')
    low = np.hypot(rows, columns) < 0.12  # where a few pixels turn no phase by half a circle
    weight = np.abs(cross[low])[:, None] ** 0.5
    slopes = -2 * np.pi * np.stack([columns[low], rows[low]], 1)
    return np.linalg.lstsq(slopes * weight, np.angle(cross[low]) * weight[:, 0], rcond=None)[0]


@pytest.mark.parametrize('seed', range(6))
def test_one_date_is_moved_by_the_drawn_shift_and_the_mask_stays(seed):
    step, scene = FramesMisalign(max_shift=3, prob=1.0), blotches()
    out = step(sample(seed, frames=[scene, scene], gt_sem_seg=scene[..., 0] // 128))
    moved = [not np.array_equal(frame, scene) for frame in out['frames']]
    assert sum(moved) == 1 and np.array_equal(out['gt_sem_seg'], scene[..., 0] // 128)
    rng = np.random.default_rng(seed)
    rng.random(), rng.integers(2)
    drawn = step.draw(rng, scene.shape)[:, 2]
    assert np.hypot(*drawn) <= 3
    assert shift_between(scene, out['frames'][moved.index(True)]) == pytest.approx(drawn, abs=0.1)


def test_either_date_is_moved_as_often_as_asked():
    scene = blotches()
    moved = np.array([[not np.array_equal(frame, scene) for frame in
                       FramesMisalign(prob=0.5)(sample(seed, frames=[scene, scene]))['frames']]
                      for seed in range(200)])
    assert 30 < moved[:, 0].sum() < 70 and 30 < moved[:, 1].sum() < 70
    assert not moved.all(1).any()


def test_a_turned_and_scaled_date_has_mirrored_borders_and_no_black():
    bright = np.full((64, 64, 3), 200, np.uint8)
    step = FramesMisalign(max_shift=2, max_angle=3, max_scale=0.05, prob=1.0)
    for seed in range(10):
        out = step(sample(seed, frames=[bright, bright]))
        assert all((frame == 200).all() for frame in out['frames'])
    scene = blotches()
    out = FramesMisalign(max_shift=0, max_scale=0.05, prob=1.0)(sample(2, frames=[scene, scene]))
    changed = next(frame for frame in out['frames'] if not np.array_equal(frame, scene))
    apart = np.abs(changed.astype(int) - scene).mean(2)
    assert apart[56:72, 56:72].mean() < 0.5 * apart.mean(), 'the centre moves least'


def test_misalignment_needs_another_date_and_small_amounts():
    with pytest.raises(ValueError, match=r"needs two dates or more; sample 's' has 1 frame"):
        FramesMisalign()(sample(frames=[blotches()]))
    with pytest.raises(ValueError, match=r'max_scale=1.5 must be in \[0, 0.2\]'):
        FramesMisalign(max_scale=1.5)
