"""Two real pairs from files to files, with a stand-in model; test material, never shown."""
import json
from dataclasses import replace

import numpy as np
import pytest
from fake_scenes import Difference, write_tiff

from rscc.apis.scenes import scene_of
from rscc.scenes.preparation import SceneOptions
from rscc.scenes.run import run_scenes


def answered(pair, folder, **options):
    """Answer a pair and return its summary; every file has to open."""
    import geopandas
    import rasterio
    done = run_scenes([pair], Difference(128, 32), folder, replace(SceneOptions(), **options))
    summary = json.loads((folder / 'summary.json').read_text())
    with rasterio.open(folder / 'change.tif') as file:
        found = file.read(1)
        assert file.crs is not None and (file.overviews(1) or max(found.shape) <= 512)
    layers = {name: geopandas.read_file(folder / 'changes.gpkg', layer=name)
              for name in ('changes', 'sentences')}
    assert summary['pixels']['changed'] == int(((found > 0) & (found < 255)).sum()) > 0
    assert summary['pixels']['changed'] == layers['changes']['pixels'].sum()
    assert len(layers['sentences']) == summary['windows']['described'] > 0
    assert (folder / 'report.html').stat().st_size > 50_000
    assert not done.gaps
    return summary


def test_a_pair_of_aerial_images(samples, tmp_path):
    from PIL import Image
    source = samples / 'torchange_demo_pair'
    paths = [write_tiff(tmp_path / f'{name}.tif', np.asarray(Image.open(
        source / f'{name}_img.png').convert('RGB'))) for name in ('t1', 't2')]
    summary = answered(scene_of(*paths), tmp_path / 'out')
    # Half a metre a pixel, as the test has placed it.
    assert summary['regions']['area_m2'] == pytest.approx(summary['pixels']['changed'] / 4, 1e-3)


def test_a_pair_of_landsat_scenes_in_envi_files(samples, tmp_path):
    source = samples / 'landsat_taizhou'
    pair = scene_of(str(source / '2000TM'), str(source / '2003TM'))
    summary = answered(pair, tmp_path / 'out', bands=(3, 2, 1), scale='percentile')
    assert 'UTM' in summary['grid']['crs'] and summary['pixels']['total'] == 400 * 400
    checked = {found['name']: found for found in summary['provenance']['pair_check']['findings']}
    assert checked['shift']['status'] == 'ok' and checked['crs']['status'] == 'ok'
