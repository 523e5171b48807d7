import json

import numpy as np
import pytest
from scene_files import place, texture, write_raster

from rscc.commands import check

pytest.importorskip('skimage')
rasterio = pytest.importorskip('rasterio')
BANDS = texture(160, 200)


@pytest.fixture
def paths(tmp_path):
    return [str(write_raster(tmp_path / name, bands)) for name, bands in (
        ('a.tif', BANDS), ('b.tif', texture(160, 200, moved=(0.4, 0))))]


def outcome(capsys, *arguments):
    """Return exit code, output and message of the command."""
    code, message = 0, ''
    try:
        check.main(list(map(str, arguments)), 'rscc check')
    except SystemExit as stopped:
        code, message = (1, stopped.code) if isinstance(stopped.code, str) else (stopped.code, '')
    shown = capsys.readouterr()
    return code, shown.out, shown.err + message


def test_a_pair_that_fits_ends_with_its_verdict_and_code_0(paths, capsys):
    code, out, _ = outcome(capsys, *paths)
    lines = out.splitlines()
    assert code == 0 and lines[-1].split() == ['verdict', 'ok'] and len(lines) == 11


def test_a_warning_is_no_failure(tmp_path, paths, capsys):
    moved = write_raster(tmp_path / 'c.tif', texture(160, 200, moved=(5, 0)))
    code, out, _ = outcome(capsys, paths[0], moved)
    assert code == 0 and 'verdict     warn' in out and '--align' in out


def test_what_is_done_while_reading_is_noted(tmp_path, paths, capsys):
    half = write_raster(tmp_path / 'c.tif', BANDS, place(1, 0.5))
    code, out, _ = outcome(capsys, paths[0], half)
    assert code == 0 and out.startswith('note: ') and 'resampled' in out.splitlines()[0]


def test_a_refused_pair_gives_code_1_and_the_reason_as_a_finding(tmp_path, paths, capsys):
    apart = write_raster(tmp_path / 'c.tif', BANDS, place(1, 5000))
    grey = write_raster(tmp_path / 'd.tif', BANDS[:1])
    empty = write_raster(tmp_path / 'e.tif', np.zeros_like(BANDS), nodata=0)
    for later, name, reason in ((apart, 'grids', 'do not overlap'), (grey, 'bands', 'is grey'),
                                (empty, 'nodata', '100 %')):
        code, out, err = outcome(capsys, paths[0], later, '--json', tmp_path / 'check.json')
        line = next(line for line in out.splitlines() if line.startswith(name))
        assert code == 1 and err == '' and line.split()[1] == 'refuse' and reason in line
        data = json.loads((tmp_path / 'check.json').read_text())
        assert data['verdict'] == 'refuse'


def test_the_json_holds_what_is_printed(tmp_path, paths, capsys):
    _, out, _ = outcome(capsys, *paths, '--json', tmp_path / 'new' / 'check.json')
    data = json.loads((tmp_path / 'new' / 'check.json').read_text())
    assert data['sources'] == paths and data['verdict'] == 'ok' and data['remarks'] == []
    assert all(found['text'] in out for found in data['findings'])
    assert data['shift'] == pytest.approx([0.4, 0], abs=0.1)


def test_one_date_alone_is_checked(paths, capsys):
    code, out, _ = outcome(capsys, paths[0])
    assert code == 0 and 'shift' not in out and 'pixel_size' in out


def test_files_that_are_none_end_with_one_line(tmp_path, paths, capsys):
    (tmp_path / 'words.tif').write_text('these are words')
    for later, words in ((tmp_path / 'none.tif', 'no image at'),
                         (tmp_path / 'words.tif', 'cannot be decoded')):
        code, out, err = outcome(capsys, paths[0], later)
        assert code == 1 and out == '' and err.startswith('error: ') and words in err
        assert err.count('\n') <= 1


def test_bands_and_scale_reach_the_reading(tmp_path, capsys):
    deep = np.concatenate([BANDS, BANDS[:1]]).astype(np.uint16) * 20
    paths = [write_raster(tmp_path / name, deep) for name in ('a.tif', 'b.tif')]
    code, _, err = outcome(capsys, *paths)
    assert code == 1 and '--bands 3 2 1 --scale 0 10000' in err
    code, out, _ = outcome(capsys, *paths, '--bands', 4, 3, 2, '--scale', 0, 5100)
    assert code == 0 and '4 3 2 are shown' in out and '0 to 5100 become 0 to 255' in out
    code, out, _ = outcome(capsys, *paths, '--bands', 4, 3, 2, '--scale', 'percentile')
    assert code == 0 and 'become 0 to 255' in out


def test_an_area_of_interest_is_taken(tmp_path, paths, capsys):
    geopandas = pytest.importorskip('geopandas')
    from shapely.geometry import box
    geopandas.GeoDataFrame(geometry=[box(500000, 3999840, 500050, 4000000)],
                           crs='EPSG:32633').to_file(tmp_path / 'area.gpkg')
    code, out, _ = outcome(capsys, *paths, '--aoi', tmp_path / 'area.gpkg')
    assert code == 0 and '75 % in all' in out


def test_a_missing_system_needs_the_word_of_the_user(tmp_path, paths, capsys):
    lacking = write_raster(tmp_path / 'c.tif', BANDS, crs=None)
    code, out, _ = outcome(capsys, paths[0], lacking)
    assert code == 1 and '--assume-same-grid' in out
    code, out, _ = outcome(capsys, paths[0], lacking, '--assume-same-grid')
    assert code == 0 and 'as you said' in out


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--scale', '1'], "expected two numbers, two for each band, or 'percentile'"),
    (['--scale', '9', '3'], 'expected the lower value first'),
    (['--scale', '0', 'nan'], 'expected finite numbers'),
    (['--ground-resolution', '0'], 'expected metres above 0'),
    (['--bands', 'red'], "'red' is no number of a band")])
def test_wrong_arguments_give_code_2(paths, capsys, arguments, message):
    code, _, err = outcome(capsys, *paths, *arguments)
    assert code == 2 and message in err


def test_the_pixel_size_of_the_weights_is_compared(paths, capsys):
    code, out, _ = outcome(capsys, *paths, '--ground-resolution', 0.25)
    assert code == 0 and '4 times smaller' in out and '--res 0.25 --resampling cubic' in out


def test_a_checkpoint_tells_what_it_was_trained_on(tmp_path, paths, capsys):
    from tiny_models import JOINT, save
    weights = save(tmp_path / 'model.pth', JOINT, ground_resolution=0.5)
    code, out, _ = outcome(capsys, *paths, '--ckpt', weights)
    assert code == 0 and 'trained on 0.5 m' in out and '2 times smaller' in out
    code, _, err = outcome(capsys, *paths, '--ckpt', tmp_path / 'none.pth')
    assert code == 1 and 'none.pth' in err


def test_the_help_and_the_check_of_files_need_no_torch(repo, paths):
    import subprocess
    import sys
    code = ('import sys\n'
            "for name in ('torch', 'mmengine', 'mmseg', 'transformers'):\n"
            '    sys.modules[name] = None\n'
            'from rscc.commands.check import main\n'
            f'main({paths!r})\n')
    done = subprocess.run([sys.executable, '-c', code], cwd=repo, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ['verdict', 'ok']
