from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image

from rscc.registry import MODELS
from rscc.structures import SampledCaption, ScoredCaption
from rscc.visualization import attention
from rscc.visualization.attention import (
    CAPTION_DRAWINGS,
    draw_attention,
    drawings_of,
    find_drawing,
    read_evidence,
    save_evidence,
)


def frame(value=120, size=(64, 96)):
    return np.full((*size, 3), value, np.uint8)


def caption(words=('a', 'house'), groups=1, grid=(4, 6), peak=None):
    maps = torch.full((len(words), groups, *grid), 1 / (groups * grid[0] * grid[1]))
    if peak is not None:
        maps.zero_()
        maps[(slice(None), *peak)] = 1
    return ScoredCaption(' '.join(words), -0.5).looking(list(words), maps)


def colourful(image):
    """Where an image is not grey (H, W)."""
    return image.max(2).astype(int) - image.min(2) > 30


def test_a_picture_has_a_tile_for_the_image_and_every_word():
    one = draw_attention([frame()], caption(['a']))
    more = draw_attention([frame()], caption('abcd'))
    assert one.dtype == np.uint8 and one.shape[2] == 3
    assert more.shape[1] > one.shape[1]
    many = draw_attention([frame()], caption('abcdefgh'))
    assert many.shape[0] > more.shape[0], 'the words wrap into a second row'


def test_the_heat_is_where_the_decoder_looked():
    width, height = attention._TILE, 120
    picture = draw_attention([frame()], caption(['house'], peak=(0, 0, 5)))
    left = attention._MARGIN + width + attention._GAP
    tile = picture[-attention._MARGIN - height:-attention._MARGIN, left:left + width]
    rows, columns = np.nonzero(colourful(tile))
    assert rows.max() < height / 2 and columns.min() > width / 2


def test_looking_everywhere_alike_is_not_hot():
    even = draw_attention([frame()], caption(['a']))
    sharp = draw_attention([frame()], caption(['a'], peak=(0, 1, 2)))
    assert even.max(2)[100:].max() == 255  # the paper
    assert (sharp[..., 0].astype(int) - sharp[..., 2]).max() > 100
    assert (even[..., 0].astype(int) - even[..., 2]).max() < 60


def test_groups_of_tokens_lie_one_under_the_other():
    single = draw_attention([frame()], caption())
    pair = draw_attention([frame(60), frame(200)], caption(groups=2))
    difference = draw_attention([frame(60), frame(200)], caption(groups=3))
    step = difference.shape[0] - pair.shape[0]
    assert step == pair.shape[0] - single.shape[0] == 120 + attention._GAP
    for value in (60, 200):
        assert (pair == value).all(2).sum() > 120 * 100


def test_chinese_sentences_get_chinese_names(monkeypatch):
    monkeypatch.setattr(attention, 'find_cjk_font', lambda: 'a font')
    assert attention._names(2, 3, '新建房屋') == ['前时相', '后时相', '差异']
    assert attention._names(2, 3, 'a house') == ['Before', 'After', 'Difference']
    monkeypatch.setattr(attention, 'find_cjk_font', lambda: None)
    assert attention._names(1, 1, '新建房屋') == ['Image']


def test_an_empty_sentence_is_only_the_image():
    empty = ScoredCaption('', -1.0).looking([], torch.zeros(0, 1, 4, 6))
    assert draw_attention([frame(77)], empty).shape[2] == 3


@pytest.mark.parametrize('frames, groups', [(0, 1), (2, 1)])
def test_a_group_is_needed_for_every_frame(frames, groups):
    with pytest.raises(ValueError, match=rf'got {frames} frame\(s\) and maps of {groups} group'):
        draw_attention([frame()] * frames, caption(groups=groups))


PLAIN = ScoredCaption('a house', -1.0)
ATTENDED = PLAIN.looking(['a', 'house'], torch.full((2, 1, 3, 3), 1 / 9))
SAMPLED = SampledCaption.of(PLAIN, 0.5, trajectory=[(10.0, 'road'), (0.1, 'a house')])


def test_every_kind_of_caption_has_its_drawings():
    assert [kind.name for kind in drawings_of(ATTENDED)] == ['attention']
    assert [kind.name for kind in drawings_of(SAMPLED)] == ['denoising']
    for caption in (None, PLAIN, SampledCaption.of(PLAIN, 0.5)):
        assert drawings_of(caption) == []


@pytest.mark.parametrize(('name', 'caption'), [('attention', ATTENDED), ('denoising', SAMPLED)])
def test_a_drawing_is_found_by_name_and_draws(name, caption):
    picture = find_drawing(name, caption).draw([np.zeros((20, 20, 3), np.uint8)], caption, 'title')
    assert picture.dtype == np.uint8 and picture.ndim == 3


def test_unknown_drawings_suggest_the_nearest():
    with pytest.raises(ValueError, match="no drawing 'denoise'; expected one of attention, "
                                         r"denoising\. Did you mean 'denoising'"):
        find_drawing('denoise', SAMPLED)


@pytest.mark.parametrize('caption', [None, PLAIN, ATTENDED])
def test_a_drawing_that_the_caption_does_not_bring_says_how_to_get_it(caption):
    with pytest.raises(ValueError, match='no denoising trajectories to draw: ask for them with '
                                         r'return_trajectory=True, of a model .*\(Karras'):
        find_drawing('denoising', caption)


@pytest.mark.parametrize('kind', CAPTION_DRAWINGS, ids=lambda kind: kind.name)
def test_the_messages_name_heads_and_options_that_a_config_can_set(kind):
    for head in kind.heads.split(', '):
        options = MODELS.get(head).NESTED_OPTIONS['decoding']
        assert kind.option in {field.name for field in fields(options)}


def test_evidence_survives_its_file(tmp_path):
    said = caption(['a', '房屋', 'built'], 2, peak=(1, 2, 3))
    path = save_evidence(tmp_path / 'evidence/a.png', said)
    found = read_evidence(path)
    assert found.words == said.words and found.grid == (2, 4, 6)
    # Words side by side, groups one under the other; the hottest place is 255.
    sheet = found.sheet.reshape(2, 4, 3, 6).transpose(2, 0, 1, 3)
    assert np.array_equal(sheet == 255, said.attention.numpy() == 1) and sheet.sum() == 3 * 255


def test_a_decoder_that_looks_everywhere_alike_does_not_seem_to_look_hard(tmp_path):
    sheet = read_evidence(save_evidence(tmp_path / 'a.png', caption(groups=2))).sheet
    assert (sheet == round(255 / attention._HOT)).all()


def test_without_a_word_or_a_file_there_is_no_evidence(tmp_path):
    assert save_evidence(tmp_path / 'a.png', caption([])) is None
    assert read_evidence(tmp_path / 'a.png') is None


def test_another_picture_is_no_evidence(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    with pytest.raises(ValueError, match=r'a\.png.* holds no attention maps: expected a grey PNG'):
        read_evidence(path)
