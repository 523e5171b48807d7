import importlib.util
import json
import re

import numpy as np
import pytest
from fake_scenes import damage, pictures, write_pair

from rscc.commands import infer

rasterio = pytest.importorskip('rasterio')
pytest.importorskip('geopandas')
RESULTS = {'change.tif', 'changes.gpkg', 'changes.geojson', 'summary.json', 'report.html'}


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path / 'data', blockxsize=64, blockysize=64)


@pytest.fixture
def call(repo, tmp_path, pair, capsys):
    """Return a function that runs the command on a fake model; it gives exit code and output."""
    spec = importlib.util.spec_from_file_location('fake_model', repo / 'tests/apis/fake_model.py')
    fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)
    checkpoint = str(fake.save_checkpoint(tmp_path / 'fake.pth', fake.fake_config(64)))

    def run(*arguments, images=('--img-from', pair.img_from, '--img-to', pair.img_to)):
        code = 0
        try:
            infer.main([checkpoint, '--device', 'cpu', *images, '--out', str(tmp_path / 'out'),
                        '--window', '64', '--block-size', '256', *arguments])
        except SystemExit as error:
            if isinstance(error.code, str):
                raise
            code = error.code
        return code, capsys.readouterr()

    return run


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_pair_becomes_a_map_that_shows_what_has_changed(call, tmp_path):
    code, said = call()
    assert code == 0 and re.search(r'computed +\d+ windows? in \d+ blocks?, .*Mpx/s', said.out)
    assert names(tmp_path / 'out') >= RESULTS
    earlier, later = pictures()
    with rasterio.open(tmp_path / 'out/change.tif') as file:
        agreeing = (file.read(1) != 0) == (later.mean(2) > earlier.mean(2) + 40)
    assert agreeing.mean() > 0.98


def test_parts_are_combined_and_equal_one_run(call, tmp_path):
    call()
    one = (tmp_path / 'out/change.tif').read_bytes()
    (tmp_path / 'out').rename(tmp_path / 'one')
    for part in ('2/2', '1/2'):
        code, said = call('--part', part)
        assert code == 0 and '--combine in place of --part' in said.out
        assert not RESULTS & names(tmp_path / 'out')
    code, said = call('--combine')
    assert code == 0 and 'written ' in said.out and 'computed' not in said.out
    assert (tmp_path / 'out/change.tif').read_bytes() == one


def test_combining_without_a_part_names_its_blocks(call):
    call('--part', '1/2')
    with pytest.raises(SystemExit, match=r'^error: \d of \d blocks are missing.*--part i/n'):
        call('--combine')


def test_places_that_cannot_be_read_have_an_exit_code_of_their_own(call, pair, tmp_path):
    damage(pair.img_to, 1, 2)
    code, said = call()
    assert code == 3 and 'listed in summary.json (exit code 3)' in said.err
    assert json.loads((tmp_path / 'out/summary.json').read_text())['gaps']


def test_a_dry_run_estimates_and_computes_nothing(call, tmp_path):
    code, said = call('--dry-run')
    assert code == 0 and re.search(r'windows +\d+ with data, in \d+ blocks? of 1 scene', said.out)
    assert re.search(r'memory +about [\d.]+ GiB\ndisk +at most [\d.]+ GiB', said.out)
    assert not (tmp_path / 'out/change.tif').exists()
    assert not list((tmp_path / 'out').glob('blocks/*.npz'))


def test_lists_give_a_folder_a_scene(call, tmp_path):
    rows = []
    for seed, name in enumerate(('north', 'south')):
        scene = write_pair(tmp_path / 'data', name, pictures(seed=seed))
        rows.append(f'{name},{scene.img_from},{scene.img_to}')
    table = tmp_path / 'scenes.csv'
    table.write_text('\n'.join(['name,from,to', *rows]))
    code, _ = call(images=('--scenes', str(table)))
    assert code == 0 and all(names(tmp_path / 'out' / name) >= RESULTS
                             for name in ('north', 'south'))


def test_the_reading_of_a_scene_is_not_taken_for_that_of_the_training(call, tmp_path):
    earlier, later = (pixels.astype(np.uint16) * 10 for pixels in pictures())
    deep = write_pair(tmp_path / 'deep', dates=(earlier, later))
    code, _ = call('--scale', '0', '2550', '--bands', '3', '2', '1',
                   images=('--img-from', deep.img_from, '--img-to', deep.img_to))
    provenance = json.loads((tmp_path / 'out/summary.json').read_text())['provenance']
    assert code == 0 and provenance['scale'] == [[0, 2550], [0, 2550]]
    from rscc.commands import scene
    args = infer_arguments('--scale', '0', '2550', '--bands', '3', '2', '1',
                           checkpoint=tmp_path / 'fake.pth')
    facts = scene._factory(args, {})().facts
    assert facts.bands is None and facts.scale is None


def infer_arguments(*arguments, checkpoint):
    import argparse
    parser = argparse.ArgumentParser()
    infer.add_arguments(parser)
    args = parser.parse_args([str(checkpoint), '--device', 'cpu', '--img', 'a.tif', '--out', 'out',
                              *arguments])
    infer.check_arguments(parser, args)
    return args


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--part', '3/2'], "'3/2' names no part"), (['--scale', '9', '3'], 'the lower value first'),
    (['--part', '1/2', '--combine'], 'exclude each other'), (['--min-area', '-1'], '0 or more'),
    (['--asset', 'b1'], '--asset concerns lists'), (['--workers', '0'], 'at least 1'),
    (['--aoi', 'x', '--nbest', '2'], '--nbest concerns single pictures')])
def test_wrong_arguments_give_code_2(call, arguments, message):
    code, said = call(*arguments)
    assert code == 2 and message in said.err
