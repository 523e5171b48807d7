import json

import numpy as np
import pytest
import torch
from PIL import Image

from rscc.apis import InferenceResult
from rscc.inference.result import describe
from rscc.structures import SampledCaption, ScoredCaption
from rscc.visualization.attention import draw_attention
from rscc.visualization.denoising_trajectory import draw_denoising

FRAMES = [np.full((20, 30, 3), value, np.uint8) for value in (50, 150)]


@pytest.fixture
def result():
    mask = np.zeros((20, 30), np.uint8)
    mask[:10], mask[10:15, :10] = 2, 1
    return InferenceResult(FRAMES, mask, [ScoredCaption('a road', -0.25)], 0.75,
                           ('unchanged', 'building', 'road'), [[0, 0, 0], [9, 0, 0], [0, 9, 0]])


def test_shares_are_of_all_pixels_largest_class_first(result):
    assert list(result.class_shares()) == ['road', 'building']
    assert result.class_shares()['building'] == pytest.approx(50 / 600)
    assert result.change_share == pytest.approx(350 / 600)


def test_classes_without_a_name_are_numbered():
    result = InferenceResult(FRAMES, np.full((20, 30), 7, np.uint8))
    assert result.class_shares() == {'class 7': 1.0}


def test_saved_files_hold_the_answer(result, tmp_path):
    files = result.save(tmp_path / 'new', 'x', images=['a.png', 'b.png'])
    assert sorted(path.name for path in files) == ['x.json', 'x_mask.png', 'x_overlay.png',
                                                   'x_panel.png']
    assert (np.asarray(Image.open(tmp_path / 'new/x_mask.png')) == result.mask).all()
    stored = json.loads((tmp_path / 'new/x.json').read_text())
    assert stored['captions'] == [['a road', -0.25]] and stored['images'] == ['a.png', 'b.png']
    assert stored['change_probability'] == 0.75


def test_without_a_mask_there_is_no_mask_file(tmp_path):
    files = InferenceResult(FRAMES, captions=[ScoredCaption('x', -1.0)]).save(tmp_path, 'x')
    assert sorted(path.name for path in files) == ['x.json', 'x_panel.png']


def test_a_sentence_with_maps_is_drawn_and_saved(tmp_path):
    maps = torch.full((2, 2, 3, 3), 1 / 18)
    attended = ScoredCaption('a road', -0.25).looking(['a', 'road'], maps)
    result = InferenceResult(FRAMES, captions=[attended, ScoredCaption('a house', -1.0)])
    files = result.save(tmp_path, 'x')
    assert [path.name for path in files] == ['x_panel.png', 'x_attention.png', 'x.json']
    saved = np.asarray(Image.open(tmp_path / 'x_attention.png'))
    assert (saved == draw_attention(FRAMES, attended, 'x')).all()
    assert json.loads((tmp_path / 'x.json').read_text())['captions'][0] == ['a road', -0.25]


def test_a_sentence_with_a_strip_is_drawn_and_its_details_are_saved(tmp_path):
    sampled = SampledCaption.of(ScoredCaption('a road', -0.25), 0.4, True,
                                [(80.0, 'tree'), (0.1, 'a road')], 4)
    result = InferenceResult(FRAMES, captions=[sampled])
    assert result.drawings == ['denoising']
    files = result.save(tmp_path, 'x')
    assert [path.name for path in files] == ['x_panel.png', 'x_denoising.png', 'x.json']
    saved = np.asarray(Image.open(tmp_path / 'x_denoising.png'))
    assert (saved == draw_denoising(FRAMES, sampled, 'x')).all()
    stored = json.loads((tmp_path / 'x.json').read_text())
    assert stored['captions'] == [['a road', -0.25]]
    assert (stored['agreement'], stored['abstained'], stored['drawn']) == (0.4, True, 4)
    assert stored['trajectory'] == [[80.0, 'tree'], [0.1, 'a road']]


@pytest.mark.parametrize('captions', [[], [ScoredCaption('a road', -0.25)]])
@pytest.mark.parametrize(('name', 'message'), [
    ('attention', 'no attention maps to draw: ask for them with return_attention=True'),
    ('denoising', 'no denoising trajectories to draw: ask for them with return_trajectory=True'),
    ('attentoin', "captions have no drawing 'attentoin'.* Did you mean 'attention'")])
def test_a_drawing_that_is_not_there_says_how_to_get_it(captions, name, message):
    result = InferenceResult(FRAMES, captions=captions)
    assert result.drawings == []
    with pytest.raises(ValueError, match=message):
        result.drawing(name)


def test_overlay_without_a_mask_says_why():
    with pytest.raises(ValueError, match='no mask to draw: this model has no change_head'):
        InferenceResult(FRAMES).overlay()


FRAMES_TEXT = [np.zeros((4, 4, 3), np.uint8)]


def test_absent_heads_are_said():
    assert describe(InferenceResult(FRAMES_TEXT)).splitlines() == [
        'sentence     none: this model has no caption head',
        'mask         none: this model has no mask head']


def test_sentences_flag_and_mask_have_a_line_each():
    mask = np.zeros((4, 4), np.uint8)
    mask[0] = 1
    captions = [ScoredCaption('a road', -0.25), ScoredCaption('a lake', -1.0)]
    result = InferenceResult(FRAMES_TEXT, mask, captions, 0.5, ('unchanged', 'road'))
    assert describe(result).splitlines() == [
        'sentence     a road  (score -0.250)', '       2.    a lake  (score -1.000)',
        'changed      probability 0.500', 'mask         25.0 % of the pixels changed: road 25.0 %']


def test_the_way_of_a_sentence_stands_below_it():
    caption = SampledCaption.of(ScoredCaption('a road', -0.25), 0.25, True,
                                [(80.0, 'tree'), (1.0, ''), (0.5, 'a road'), (0.1, 'a road')], 8)
    lines = describe(InferenceResult(FRAMES_TEXT, captions=[caption])).splitlines()
    assert lines[1:5] == ['agreement    0.25 of 8 sentences: too little, abstained',
                          '  noise 80                tree', '  noise 1',
                          '  noise 0.5 – 0.1         a road']


def test_one_sentence_has_no_agreement_to_tell_of():
    caption = SampledCaption.of(ScoredCaption('a road', -0.25), 1.0)
    assert 'agreement' not in describe(InferenceResult(FRAMES_TEXT, captions=[caption]))


def test_a_sentence_that_was_cut_says_so_in_text_and_json():
    result = InferenceResult(FRAMES_TEXT, captions=[ScoredCaption('a road and', -0.25, 3),
                                                    ScoredCaption('a road', -0.5)])
    lines = describe(result).splitlines()
    assert lines[0] == 'sentence     a road and  (score -0.250, cut at the limit of 3 tokens)'
    assert lines[1].endswith('a road  (score -0.500)')
    assert result.to_dict()['truncated'] == 3
    assert 'truncated' not in InferenceResult(FRAMES_TEXT, captions=[result.captions[1]]).to_dict()


@pytest.fixture
def semantic():
    """A field of 20 x 30 pixels: a third became houses, some trees other trees."""
    earlier = np.ones((20, 30), np.uint8)
    earlier[:, 20:] = 3
    later, mask = earlier.copy(), np.zeros((20, 30), np.uint8)
    later[:, :10], mask[:, :10], mask[:2, 28:] = 2, 1, 1
    return dict(frames=FRAMES, mask=mask, classes=('unchanged', 'changed'), classes_from=earlier,
                classes_to=later, semantic_classes=('none', 'farmland', 'building', 'tree'),
                semantic_palette=[[255, 255, 255], [9, 0, 0], [0, 9, 0], [0, 0, 9]])


def test_what_became_what_is_told_in_pixels_and_where_known_as_an_area(semantic):
    result = InferenceResult(**semantic)
    assert result.transitions == [('farmland', 'building', 200), ('tree', 'tree', 4)]
    assert result.transition_sentences() == ['farmland became buildings, 200 pixels']
    located = InferenceResult(**semantic, ground_resolution=5.0)
    assert located.transition_rows()[0] == {
        'from': 'farmland', 'to': 'building', 'pixels': 200, 'hectares': 0.5}
    assert located.transition_sentences('zh') == ['农田变为建筑物，5,000 平方米']
    assert describe(located).splitlines()[-1] == 'became       farmland became buildings, 5,000 m²'
    assert InferenceResult(FRAMES).transitions == []


def test_class_maps_are_saved_in_their_palette_and_drawn(semantic, tmp_path):
    result = InferenceResult(**semantic)
    files = {path.name for path in result.save(tmp_path, 'x')}
    assert {'x_from.png', 'x_to.png', 'x_mask.png'} < files
    with Image.open(tmp_path / 'x_to.png') as image:
        assert (np.asarray(image) == result.classes_to).all()
        assert image.getpalette()[3:9] == [9, 0, 0, 0, 9, 0]
    stored = json.loads((tmp_path / 'x.json').read_text())
    assert stored['transitions'][0] == {'from': 'farmland', 'to': 'building', 'pixels': 200}
    assert stored['transition_sentences']['en'] == ['farmland became buildings, 200 pixels']
    plain = InferenceResult(FRAMES, result.mask, classes=('unchanged', 'changed'))
    assert result.panel().shape[0] > plain.panel().shape[0] + 150
    assert 'transitions' not in plain.to_dict()


def test_classes_without_names_are_numbered_in_transitions(semantic):
    result = InferenceResult(**semantic | dict(semantic_classes=('none', 'farmland')))
    assert result.transitions[0] == ('farmland', 'class 2', 200)
