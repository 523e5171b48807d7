"""Real sets: what counts where, and how folders of their layout are read."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.benchmark.real_sets import (
    SETS,
    UNCHANGED_SETS,
    RealSet,
    changed_of,
    pairs_of,
    sets_below,
)
from tools.benchmark.tables import LANGUAGES, say

CAPTIONS_ALONE = 'LEVIR-CC', 'LEVIR-CC figures', 'DUBAI-CC'


def by_title(title):
    return next(one for one in (*SETS, *UNCHANGED_SETS) if one.title == title)


def test_every_set_says_in_both_languages_why_its_classes_count():
    assert len({one.folder for one in (*SETS, *UNCHANGED_SETS)}) == 11
    masked = [one for one in SETS if one.title not in CAPTIONS_ALONE]
    assert len({say(one.reason, language) for one in (*masked, *UNCHANGED_SETS)
                for language in LANGUAGES}) == 16
    assert by_title('LEVIR-CD').counted == by_title('EGY-BCD').counted == ('building',)
    assert by_title('DSIFN').counted == by_title('CDD').counted == by_title('SZTAKI').counted == ()


def test_sets_are_found_and_missing_ones_are_named(real_roots):
    root, unchanged = real_roots
    found, missing = sets_below(root, SETS)
    assert [one.title for one in found] == ['LEVIR-CD', 'LEVIR-MCI', 'EGY-BCD', 'DSIFN', 'SZTAKI',
                                            'CDD', 'LEVIR-CC']
    assert missing == ["LEVIR-CC figures: no folder 'levir_cc_figure_crops'",
                       "DUBAI-CC: no folder 'dubai_cc_figure_crops'"]
    found, missing = sets_below(unchanged, UNCHANGED_SETS)
    assert [one.title for one in found] == ['SpaceNet 8', 'NAIP'] and missing == []
    with pytest.raises(FileNotFoundError, match=r"no folder '.*none': expected one that holds"):
        sets_below(root / 'none', SETS)


def test_an_unknown_folder_of_pairs_is_a_set_in_which_any_change_counts(real_roots):
    root, _ = real_roots
    (root / 'levir_cd_samples').rename(root / 'held back')
    found, _ = sets_below(root, SETS)
    assert found[-1].title == 'held back' and found[-1].counted == ()
    assert [pair.name for pair in pairs_of(root, found[-1])] == [
        'held back/test_2', 'held back/train_1']


def test_pairs_have_labels_and_captions_where_there_are_any(real_roots):
    root, _ = real_roots
    changed, unchanged = pairs_of(root, by_title('LEVIR-CC'))
    assert changed.changed is True and unchanged.changed is False
    assert len(changed.references) == 5 and changed.label is changed.mask() is None
    assert 'no change has occurred' in unchanged.references
    (pair,) = pairs_of(root, by_title('EGY-BCD'))
    assert pair.name == 'egy_bcd_samples/test/test_1' and pair.changed is None
    assert pair.mask().any() and pair.references == ()
    (pair,) = pairs_of(root, by_title('LEVIR-MCI'))
    assert pair.changed is True  # told by the sentences: this file has no flag
    building, road = (pair.mask({name: value}) for name, value in
                      by_title('LEVIR-MCI').values.items())
    assert not (building & road).any() and ((building | road) == pair.mask()).all()


def test_dates_of_one_place_are_paired_in_order_and_cut_to_their_common_size(real_roots):
    _, root = real_roots
    pairs = pairs_of(root, by_title('NAIP'))
    assert [pair.name for pair in pairs] == [
        f'naip_nd_timeseries/m_{dates}'
        for dates in ('20180701_20190701', '20180701_20200701', '20190701_20200701')]
    copied = root / 'naip_nd_timeseries/m_20180701.tif'
    copied.with_name('m_20170701.tif').write_bytes(copied.read_bytes())
    assert pairs_of(root, by_title('NAIP')) == pairs  # a date that trains models is left out
    for pair in pairs:
        assert pair.changed is False
        assert [image.shape for image in pair.images()] == [(64, 64, 3)] * 2


@pytest.mark.parametrize(('ending', 'values', 'expected'), [
    ('png', [[0, 127, 128, 255]], [[0, 0, 1, 1]]), ('png', [[0, 1, 1, 0]], [[0, 1, 1, 0]]),
    ('png', [[0, 0, 0, 0]], [[0, 0, 0, 0]]), ('png', [[0, 1, 2, 0]], [[0, 0, 0, 0]])])
def test_grey_values_of_labels(tmp_path, ending, values, expected):
    path = tmp_path / f'label.{ending}'
    cv2.imwrite(str(path), np.array(values, np.uint8))
    assert changed_of(path).tolist() == expected


def test_noise_of_jpeg_is_no_change(real_roots):
    (pair,) = pairs_of(real_roots[0], by_title('CDD'))
    assert pair.mask().shape == (64, 64) and not pair.mask().any()


def test_the_label_of_a_jpeg_may_be_a_png(real_roots):
    folder = real_roots[0] / 'cdd_sample/label'
    (folder / '00000.jpg').unlink()
    cv2.imwrite(str(folder / '00000.png'), np.full((64, 64), 255, np.uint8))
    (pair,) = pairs_of(real_roots[0], by_title('CDD'))
    assert pair.mask().all()


def test_folders_without_pairs_and_damaged_captions_are_errors(real_roots):
    root, _ = real_roots
    (root / 'levir_cc_samples/captions.json').write_text(json.dumps({'images': [{}]}))
    with pytest.raises(ValueError, match="image 0 has no 'filename'"):
        pairs_of(root, by_title('LEVIR-CC'))
    (root / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='holds no pair: images in A and B were expected'):
        pairs_of(root, RealSet('empty', 'empty'))
    with pytest.raises(FileNotFoundError, match='two dates of one place were expected'):
        pairs_of(root, RealSet('empty', 'empty', series=True))


def test_the_real_sets_hold_what_their_folders_say(samples):
    found, missing = sets_below(Path(samples), SETS)
    counts = {one.title: len(pairs_of(Path(samples), one)) for one in found}
    assert missing == [] and counts == {
        'LEVIR-CD': 8, 'LEVIR-MCI': 4, 'EGY-BCD': 9, 'DSIFN': 10, 'SZTAKI': 2, 'CDD': 1,
        'LEVIR-CC': 7, 'LEVIR-CC figures': 14, 'DUBAI-CC': 6}


@pytest.mark.parametrize(('page', 'column'), [('en', 0), ('zh_cn', 1)])
def test_the_docs_say_which_classes_count_as_the_table_does(repo, page, column):
    words = {'building': ('building', '建筑物'), 'road': ('road', '道路')}
    text = (repo / f'docs/{page}/evaluation.md').read_text(encoding='utf-8')
    rows = {cells[1]: cells[2] for line in text.splitlines()
            if len(cells := [cell.strip() for cell in line.split('|')]) == 5}
    told = {title: classes for titles, classes in rows.items() for title in titles.split(', ')}
    masked = [one for one in SETS if one.title not in CAPTIONS_ALONE]
    for one in (*masked, *UNCHANGED_SETS):
        counted = ', '.join(words[name][column] for name in one.counted)
        assert told[one.title] == (counted or ('any', '任意')[column])
