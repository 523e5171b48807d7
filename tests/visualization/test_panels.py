import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from rscc.registry import VISUALIZERS
from rscc.structures import ChangeDataSample
from rscc.visualization import fonts, panels
from rscc.visualization.overlays import overlay_mask
from rscc.visualization.panels import ChangeVisualizer, draw_panel, panel_of_sample


def frame(value, size=(64, 64)):
    return np.full((*size, 3), value, np.uint8)


def colours_of(image):
    return {tuple(c) for c in np.unique(image.reshape(-1, 3), axis=0)}


@pytest.fixture
def without_chinese(monkeypatch):
    monkeypatch.setattr(fonts, 'find_cjk_font', lambda: None)
    monkeypatch.setattr(panels, 'find_cjk_font', lambda: None)
    fonts.warn_without_cjk.cache_clear()
    fonts.load_font.cache_clear()
    yield
    fonts.load_font.cache_clear()


def test_panel_is_rgb_and_holds_both_dates_enlarged():
    panel = draw_panel([frame(40), frame(200)])
    assert panel.dtype == np.uint8 and panel.shape[2] == 3
    for value in (40, 200):
        assert (panel == value).all(2).sum() >= 256 * 256


def test_single_image_has_one_tile():
    panel = draw_panel([frame(40)], prediction='a plane')
    assert 256 * 256 <= (panel == 40).all(2).sum() < 1.2 * 256 * 256


def test_masks_add_one_tile_each():
    mask = np.zeros((64, 64), np.uint8)
    pair = [frame(40), frame(200)]
    tiles = [(panel == 200).all(2).sum() for panel in
             (draw_panel(pair), draw_panel(pair, gt_mask=mask),
              draw_panel(pair, gt_mask=mask, pred_mask=mask))]
    assert tiles[1] > 1.9 * tiles[0] and tiles[2] > 2.9 * tiles[0]


def test_legend_shows_class_colours():
    mask = np.zeros((64, 64), np.uint8)
    panel = draw_panel([frame(0), frame(0)], pred_mask=mask, classes=['unchanged', 'a', 'b'],
                       palette=[(0, 0, 0), (250, 10, 20), (10, 250, 30)])
    assert {(250, 10, 20), (10, 250, 30)} <= colours_of(panel)


def test_long_sentences_make_the_panel_taller_not_wider():
    pair = [frame(40), frame(200)]
    short = draw_panel(pair, prediction='a house')
    long = draw_panel(pair, prediction='a house is built beside the road ' * 12)
    assert long.shape[1] == short.shape[1] and long.shape[0] > short.shape[0] + 60


def test_every_reference_is_drawn():
    pair = [frame(40), frame(200)]
    heights = [draw_panel(pair, references=['no change'] * n).shape[0] for n in (1, 2, 5)]
    assert heights[1] - heights[0] == (heights[2] - heights[1]) / 3 > 0


def test_big_frames_are_shrunk_to_a_readable_size():
    panel = draw_panel([frame(40, (900, 1800))] * 2)
    assert panel.shape[1] < 1200


def test_frames_that_are_not_uint8_rgb_are_refused():
    with pytest.raises(ValueError, match=r'frame 1 is float64 \(3, 8, 8\); expected uint8'):
        draw_panel([frame(1), np.zeros((3, 8, 8))])


def test_no_frame_is_refused():
    with pytest.raises(ValueError, match='got no frame'):
        draw_panel([])


def test_unknown_language_is_refused():
    with pytest.raises(ValueError, match="no panel labels for language 'fr'; known"):
        draw_panel([frame(1)], language='fr')


def test_chinese_without_a_font_keeps_english_labels_and_warns_once(without_chinese, monkeypatch):
    said = []
    monkeypatch.setattr(fonts, 'warn_once', said.append)
    pair = [frame(40), frame(200)]
    chinese = draw_panel(pair, prediction='a', language='zh')
    english = draw_panel(pair, prediction='a', language='en')
    assert (chinese == english).all() and not said
    draw_panel(pair, prediction='没有变化')
    draw_panel(pair, prediction='没有变化', references=['没有差异'])
    assert len(said) == 1 and 'RSCC_FONT' in said[0]


def test_chinese_sentences_choose_chinese_labels():
    if fonts.find_cjk_font() is None:
        pytest.skip('no font with Chinese characters on this machine')
    pair = [frame(40), frame(200)]
    guessed = draw_panel(pair, prediction='没有变化')
    assert (guessed == draw_panel(pair, prediction='没有变化', language='zh')).all()
    assert (guessed != draw_panel(pair, prediction='没有变化', language='en')).any()


def test_data_sample_gives_the_same_panel_as_its_parts():
    mask = torch.zeros(1, 64, 64, dtype=torch.long)
    mask[:, 10:30, 10:30] = 1
    sample = ChangeDataSample(pred_sem_seg=PixelData(data=mask),
                              metainfo={'sample_id': 'test_000001'})
    sample.gt_captions, sample.pred_caption = ['a house'], 'a road'
    pair = [frame(40), frame(200)]
    meta = {'classes': ('unchanged', 'building'), 'palette': [[0, 0, 0], [9, 9, 200]],
            'language': 'en'}
    parts = draw_panel(pair, pred_mask=mask[0].numpy(), references=['a house'],
                       prediction='a road', title='test_000001', palette=meta['palette'],
                       classes=meta['classes'])
    assert (panel_of_sample(pair, sample, meta) == parts).all()


def test_empty_data_sample_still_draws_its_frames():
    assert (panel_of_sample([frame(40)], ChangeDataSample()) == 40).all(2).sum() >= 256 * 256


def sample():
    result = ChangeDataSample(metainfo={'sample_id': 'x'})
    result.pred_caption = 'a house is built'
    return result


def test_visualizer_is_registered():
    assert VISUALIZERS.get('ChangeVisualizer') is ChangeVisualizer


def test_panels_and_scalars_reach_tensorboard(tmp_path):
    pytest.importorskip('tensorboard')
    visualizer = ChangeVisualizer(vis_backends=[{'type': 'TensorboardVisBackend'}],
                                  save_dir=str(tmp_path))
    visualizer.add_datasample('val_x', [np.zeros((32, 32, 3), np.uint8)] * 2, sample(), step=7)
    visualizer.add_scalar('loss', 0.5, step=7)
    visualizer.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(next(tmp_path.rglob('events*')).parent)).Reload()
    assert events.Tags()['images'] == ['val_x'] and events.Images('val_x')[0].step == 7
    assert events.Scalars('loss')[0].value == 0.5


def test_panel_lands_in_the_local_folder_with_its_step(tmp_path):
    visualizer = ChangeVisualizer(vis_backends=[{'type': 'LocalVisBackend'}],
                                  save_dir=str(tmp_path))
    visualizer.add_datasample('val_x', [np.zeros((32, 32, 3), np.uint8)], sample(), step=3)
    assert [path.name for path in tmp_path.rglob('*.png')] == ['val_x_3.png']


@pytest.mark.parametrize('bands', [1, 2, 4, 10])
def test_frames_of_any_number_of_bands_show_the_first_three(bands):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, bands), dtype=np.uint8)
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9] = 1
    shown = pixels[..., :3] if bands > 2 else pixels[..., [0, 0, 0]]
    assert np.array_equal(draw_panel([pixels, pixels], pred_mask=mask),
                          draw_panel([shown, shown], pred_mask=mask))
    assert np.array_equal(overlay_mask(pixels, mask), overlay_mask(shown.copy(), mask))


def test_class_maps_have_a_row_of_their_own_in_their_colours():
    maps = {name: np.full((64, 64), value, np.uint8)
            for name, value in (('gt_from', 1), ('gt_to', 2), ('from', 1), ('to', 3))}
    palette = [(255, 255, 255), (250, 10, 20), (10, 250, 30), (20, 30, 250), (1, 2, 3)]
    plain = draw_panel([frame(40), frame(200)])
    panel = draw_panel([frame(40), frame(200)], class_maps=maps, semantic_palette=palette,
                       semantic_classes=['none', 'water', 'tree', 'road', 'quarry'])
    assert panel.shape[0] > plain.shape[0] + 256 and panel.shape[1] > plain.shape[1]
    for colour, tiles in zip(palette[1:], (2, 1, 1, 0), strict=True):
        shown = (panel == colour).all(2).sum()
        assert tiles * 256 * 256 <= shown < (tiles + 0.1) * 256 * 256


def test_a_sample_brings_its_class_maps_without_their_padding():
    sample = ChangeDataSample(metainfo=dict(img_shape=(40, 64), pad_shape=(64, 64)))
    for field, size in (('gt_sem_seg_from', (64, 64)), ('pred_sem_seg_to', (40, 64))):
        setattr(sample, field, PixelData(data=torch.ones(1, *size, dtype=torch.long)))
    found = panels.class_maps_of(sample)
    assert {name: classes.shape for name, classes in found.items()} == {
        'gt_from': (40, 64), 'to': (40, 64)}
