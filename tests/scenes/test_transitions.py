"""What became what: numbers and names of transitions, and a scene that tells them in every file."""
import json
import re

import numpy as np
import pytest
from fake_scenes import SMALL, LandCover, pictures, write_pair

from rscc.rasters.blending import decided
from rscc.scenes.contracts import NODATA
from rscc.scenes.run import run_scenes
from rscc.scenes.transitions import SemanticClasses
from rscc.text.land_cover import class_text
from rscc.text.transitions import became

COVER = SemanticClasses(('water', 'farmland', 'building'),
                        [[0, 0, 200], [200, 200, 0], [200, 0, 0]])


def test_each_pair_of_classes_has_a_number_a_name_and_the_colour_of_what_it_became():
    assert COVER.transitions[:4] == ('unchanged', 'water → water', 'water → farmland',
                                     'water → building')
    assert len(COVER.transitions) == len(COVER.transition_colours) == 10
    number = COVER.transitions.index('farmland → building')
    assert COVER.pair_of(number) == ('farmland', 'building')
    assert COVER.transition_colours[number] == (200, 0, 0) == COVER.colours[3]


def test_maps_agree_where_nothing_changed():
    values = np.random.default_rng(0).random((2, 3, 20, 30), np.float32)
    changed = np.random.default_rng(1).random((20, 30)) > 0.5
    numbers, maps = COVER.decide(values, changed)
    assert numbers.dtype == maps.dtype == np.uint8
    assert np.array_equal(numbers == 0, ~changed)
    assert np.array_equal(maps[0][~changed], maps[1][~changed])
    assert np.array_equal(numbers[changed], 3 * (maps[0][changed] - 1) + maps[1][changed])
    assert np.array_equal(maps[1][changed], decided(values[1])[changed] + 1)
    strict, _ = SemanticClasses(COVER.names, same_class=False).decide(values, changed)
    assert not np.isin(strict, [1, 5, 9]).any() and np.isin(numbers, [1, 5, 9]).any()


@pytest.mark.parametrize('count', [1, 16])
def test_more_classes_than_a_map_of_bytes_holds_are_refused(count):
    with pytest.raises(ValueError, match=rf'^{count} classes a date: .* 2 to 15'):
        SemanticClasses(tuple(map(str, range(count))))


def test_both_classes_of_a_transition_are_translated():
    assert class_text('farmland → building', 'zh') == '农田 → 建筑物'


@pytest.fixture(scope='module')
def town(tmp_path_factory):
    """A scene answered in blocks: summary and files."""
    pytest.importorskip('rasterio')
    pytest.importorskip('geopandas')
    folder = tmp_path_factory.mktemp('semantic')
    pair = write_pair(folder / 'in')
    run_scenes([pair], LandCover(), folder / 'out', SMALL)
    return folder / 'out', json.loads((folder / 'out/summary.json').read_text())


def read(path):
    import rasterio
    with rasterio.open(path) as file:
        return file.read(1), file.tags(1), file.nodata


def test_three_maps_agree_and_say_what_their_values_mean(town):
    folder, _ = town
    change, names, nodata = read(folder / 'change.tif')
    (earlier, classes, _), (later, _, _) = (read(folder / f'classes_{date}.tif')
                                            for date in ('from', 'to'))
    assert nodata == NODATA and change.max() > 0
    assert names['class_6'] == 'farmland → building' and classes['class_3'] == 'building'
    assert np.array_equal(earlier[change == 0], later[change == 0])
    changed = change != 0
    assert np.array_equal(3 * (earlier[changed] - 1) + later[changed], change[changed])
    for name in ('change', 'classes_from', 'classes_to'):
        assert (folder / f'{name}.qml').is_file()


def test_the_summary_has_the_transition_table_in_hectares_and_in_words(town):
    folder, summary = town
    change, _, _ = read(folder / 'change.tif')
    table = {(row['from'], row['to']): row for row in summary['transitions']}
    assert table
    for (earlier, later), row in table.items():
        number = COVER.transitions.index(f'{earlier} → {later}')
        assert row['pixels'] == (change == number).sum() > 0
        assert row['area_m2'] == pytest.approx(row['pixels'] / 4, abs=0.1)
    assert sum(row['pixels'] for row in table.values()) == summary['pixels']['changed']
    first = summary['transitions'][0]
    assert f"{became(first['from'], first['to'])}, " in summary['sentences'][0]
    cover = {row['class']: row for row in summary['land_cover']}
    earlier, _, _ = read(folder / 'classes_from.tif')
    assert cover['water']['from_pixels'] == (earlier == 1).sum()
    assert sum(row['to_pixels'] for row in cover.values()) == change.size


def test_polygons_and_report_name_transitions(town):
    import geopandas
    folder, summary = town
    regions = geopandas.read_file(folder / 'changes.gpkg', layer='changes')
    names = {f"{row['from']} → {row['to']}" for row in summary['transitions'] if row['regions']}
    assert set(regions['class']) == names
    page = (folder / 'report.html').read_text()
    assert 'What became what (' in page and 'water → building' in page


def test_the_table_of_the_report_has_sums_that_fit_the_area_above(town):
    folder, summary = town
    table = re.search(r'<table class="became">(.*?)</table>', (folder / 'report.html').read_text(),
                      re.S)[1]
    rows = [re.findall(r'<td>(.*?)</td>', row)
            for row in re.findall(r'<tr>(.*?)</tr>', table, re.S)]
    numbers = [[0.0 if cell == '–' else float(cell.replace(',', '').split()[0]) for cell in row]
               for row in rows if row]
    assert len(numbers) > 1 and len(numbers[0]) > 1
    whole = numbers[-1][-1]
    assert whole == pytest.approx(summary['regions']['area_m2'], rel=0.02)
    assert sum(row[-1] for row in numbers[:-1]) == pytest.approx(whole, rel=0.05)
    assert sum(numbers[-1][:-1]) == pytest.approx(whole, rel=0.05)


def test_blocks_equal_the_whole(tmp_path, town):
    from dataclasses import replace
    pytest.importorskip('rasterio')
    pair = write_pair(tmp_path / 'in', dates=pictures())
    run_scenes([pair], LandCover(), tmp_path / 'out', replace(SMALL, block_pixels=10**9))
    for name in ('change', 'classes_from', 'classes_to'):
        assert np.array_equal(read(tmp_path / f'out/{name}.tif')[0],
                              read(town[0] / f'{name}.tif')[0])
