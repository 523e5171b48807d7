import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from rscc.demo.answers import Models, _check, _checked, doubt_of, lacking_packages, preview
from rscc.demo.jobs import Job, Stopped
from rscc.demo.limits import Limits
from rscc.demo.markup import told
from rscc.demo.own_names import OwnNames
from rscc.demo.wishes import Asked
from rscc.demo.words import Problem, Words
from rscc.evaluation.doubt import Doubt, Reason
from rscc.rasters.headers import UnreadableImage
from rscc.scenes.contracts import ModelFacts

needs_geo = pytest.mark.skipif(bool(lacking_packages()), reason='needs the extra [geo]')


@pytest.fixture(scope='module')
def models(checkpoints):
    return Models(list(checkpoints.values()), device='cpu')


def job():
    return Job(lambda job: None, 'visitor', Limits())


def inferred(arguments, out, capsys):
    """Return the JSON of the inference tool."""
    from rscc.commands.infer import main
    main([*arguments, '--device', 'cpu', '--out', str(out)])
    capsys.readouterr()
    path, = out.glob('*.json')
    return json.loads(path.read_text())



def test_models_are_sorted_by_what_they_read(models, checkpoints):
    assert models.of_task('pair') == [checkpoints['pair']]
    assert models.of_task('single') == [checkpoints['single']]
    assert models.languages(checkpoints['pair']) == ('en', 'zh')
    assert models.languages(checkpoints['single']) == ()
    with pytest.raises(Problem, match="no model '/etc/passwd'"):
        models['/etc/passwd']


@pytest.mark.parametrize('language', ['en', 'zh'])
def test_a_picture_is_answered_as_by_the_tool(models, checkpoints, pair, tmp_path, capsys,
                                              monkeypatch, language):
    answer = models.answer(checkpoints['pair'], pair, Asked(language, 3), tmp_path / 'page', job())
    monkeypatch.chdir(tmp_path)
    expected = inferred([checkpoints['pair'], '--img-from', 'before.png', '--img-to', 'after.png',
                         '--nbest', '3', '--language', language], tmp_path / 'tool', capsys)
    assert json.loads(answer.files['json'].read_text()) == expected
    assert [[text, round(score, 5)] for text, score in answer.sentences] == expected['captions']
    assert len(answer.sentences) == 3
    assert answer.share == expected['change_share']
    assert {'mask', 'overlay', 'panel', 'json'} <= set(answer.files)
    assert all(path.stat().st_size for path in (*answer.frames, answer.layer))
    assert answer.sources == ('before.png', 'after.png')
    assert f'--language {language}' in answer.command


def ran(command, folder, capsys, monkeypatch):
    """Run a command of the page where its images are, and return the folder of its files."""
    from rscc.commands.infer import main
    monkeypatch.chdir(folder)
    main([*shlex.split(command)[2:-1], str(folder / 'tool'), '--device', 'cpu'])
    capsys.readouterr()
    return folder / 'tool'


def same_layers(one, other):
    import pyogrio
    layers = [row[0] for row in pyogrio.list_layers(one)]
    assert layers == [row[0] for row in pyogrio.list_layers(other)]
    assert 'changes' in layers
    for layer in layers:
        tables = [pyogrio.read_dataframe(path, layer=layer) for path in (one, other)]
        assert tables[0].equals(tables[1]), layer
    return one.read_bytes() == other.read_bytes()


@needs_geo
def test_every_file_of_a_picture_is_that_of_its_commands(models, checkpoints, pair, tmp_path,
                                                         capsys, monkeypatch):
    answer = models.answer(checkpoints['pair'], pair, Asked('zh'), tmp_path / 'page', job())
    written = ran(answer.command, tmp_path, capsys, monkeypatch)
    assert not list(written.glob('*.gpkg'))
    ran(answer.scene_command, tmp_path, capsys, monkeypatch)
    assert same_layers(answer.files['geopackage'], written / 'changes.gpkg')
    for kind in set(answer.files) - {'geopackage'}:
        path = answer.files[kind]
        assert path.read_bytes() == (written / path.name).read_bytes(), kind


@needs_geo
def test_every_file_of_a_scene_is_that_of_its_command(models, checkpoints, tmp_path, capsys,
                                                      monkeypatch):
    answer = models.answer(checkpoints['pair'], large(tmp_path), Asked(), tmp_path / 'page', job())
    assert answer.scene_command == ''
    written = ran(answer.command, tmp_path, capsys, monkeypatch)
    assert same_layers(answer.files['geopackage'], written / 'changes.gpkg')
    for path in answer.files.values():
        assert path.read_bytes() == (written / path.name).read_bytes(), path.name


@needs_geo
@pytest.mark.parametrize('opacity', [255, 100, 0])
def test_an_alpha_channel_is_left_out_on_every_route(models, checkpoints, pair, tmp_path, capsys,
                                                     monkeypatch, opacity):
    plain = models.answer(checkpoints['pair'], pair, Asked(), tmp_path / 'plain', job())
    for path in pair:
        pixels = np.dstack([np.asarray(Image.open(path)), np.full((64, 64), 255, np.uint8)])
        pixels[:9, :9, 3] = opacity
        Image.fromarray(pixels).save(path)
    answer = models.answer(checkpoints['pair'], pair, Asked(), tmp_path / 'page', job())
    if opacity:
        assert answer.sentences == plain.sentences
        assert answer.share == plain.share
    written = ran(answer.command, tmp_path, capsys, monkeypatch)
    ran(answer.scene_command, tmp_path, capsys, monkeypatch)
    assert same_layers(answer.files['geopackage'], written / 'changes.gpkg')
    assert answer.files['json'].read_bytes() == (written / 'before_after.json').read_bytes()
    told = json.loads(answer.files['json'].read_text())['processing']
    assert told['nodata'] == (0 if opacity else 81)
    nodata, = (row['value'] for row in answer.check if row['name'] == 'nodata')
    assert nodata[0] == pytest.approx(told['nodata'] / 64**2, abs=1e-3)


@needs_geo
def test_nothing_that_a_visitor_gets_names_a_folder_of_this_machine(models, checkpoints, tmp_path):
    from scene_files import texture, write_raster
    folders = [tmp_path / name for name in ('one & two', "it's")]
    for folder in folders:
        folder.mkdir()
    images = [write_raster(folder / name, texture(80, 80, seed), (30, 0, 0, 0, -30, 0))
              for seed, (folder, name) in enumerate([(folders[0], 'a b.tif'),
                                                     (folders[1], 'b.tif')])]
    answer = models.answer(checkpoints['pair'], images, Asked(force=True), tmp_path / 'page', job())
    shown = repr(answer).replace(repr(answer.files), '').replace(repr(answer.frames), '')
    shown = shown.replace(repr(answer.layer), '')
    assert str(tmp_path) not in shown
    for path in answer.files.values():
        for place in (tmp_path, *folders):
            assert str(place).encode() not in path.read_bytes(), path.name


@needs_geo
def test_the_proposed_command_names_the_files_as_their_owner_does(tmp_path):
    from scene_files import texture, write_raster
    folder = tmp_path / 'secret'
    folder.mkdir()
    images = [write_raster(folder / name, texture(64, 64)) for name in ('a b.tif', 'b.tif')]
    facts = ModelFacts(ground_resolution=0.1)
    check = _checked(_check(images, Asked(), facts), OwnNames(images, tmp_path))
    told, = (row['text'] for row in check['check'] if row['name'] == 'pixel_size')
    assert "rio warp 'a b.tif' 'a b_0.1m.tif'" in told
    assert 'secret' not in str(check)


@needs_geo
def test_a_picture_gets_a_geopackage_and_a_check(models, checkpoints, pair, tmp_path):
    answer = models.answer(checkpoints['pair'], pair, Asked(), tmp_path / 'page', job())
    assert {finding['name'] for finding in answer.check} >= {'shift', 'bands', 'light'}
    assert answer.verdict in ('ok', 'warn')


@needs_geo
def test_a_large_picture_goes_the_way_of_scenes(models, checkpoints, tmp_path, capsys, monkeypatch):
    images = large(tmp_path)
    watched = job()
    answer = models.answer(checkpoints['pair'], images, Asked(), tmp_path / 'page', watched)
    monkeypatch.chdir(tmp_path)
    expected = inferred([checkpoints['pair'], '--img-from', 'before.png', '--img-to', 'after.png',
                         '--language', 'en'], tmp_path / 'tool', capsys)
    assert json.loads(answer.files['json'].read_text()) == expected
    assert set(answer.files) >= {'map', 'geopackage', 'json', 'report', 'mask'}
    assert watched.ask().stage == 'stage_writing'
    assert answer.scene_doubt == expected['doubt']  # in a card of its own
    assert [*answer.lead['en'], expected['doubt']['text']] == expected['sentences']
    assert answer.lead['zh'][0].startswith('发现 ')
    assert answer.size == (200, 150)
    for kind in ('json', 'report'):
        assert str(tmp_path) not in answer.files[kind].read_text()


@needs_geo
def test_a_scene_stops_between_windows(models, checkpoints, tmp_path):
    class Impatient(Job):
        def advance(self, steps=1):
            self.cancel()
            super().advance(steps)

    with pytest.raises(Stopped):
        models.answer(checkpoints['pair'], large(tmp_path), Asked(), tmp_path / 'page',
                      Impatient(lambda job: None, 'visitor', Limits()))
    assert not list((tmp_path / 'page').rglob('summary.json'))


def large(folder):
    draw = np.random.default_rng(1)
    paths = []
    for date in ('before', 'after'):
        coarse = Image.fromarray(draw.integers(0, 255, (9, 12, 3), np.uint8))
        paths.append(folder / f'{date}.png')
        coarse.resize((200, 150)).save(paths[-1])
    return paths


def test_a_single_image_is_described(models, checkpoints, pair, tmp_path):
    answer = models.answer(checkpoints['single'], pair[:1], Asked(nbest=2), tmp_path / 'page',
                           job())
    assert len(answer.sentences) == 2
    assert (answer.layer, answer.check, answer.verdict) == (None, (), None)
    assert len(answer.frames) == 1


def test_images_that_do_not_fit_are_named_without_folders(models, checkpoints, pair, tmp_path):
    Image.new('RGB', (40, 40)).save(pair[1])
    with pytest.raises(Problem, match=r"'before\.png' 64 x 64, 'after\.png' 40 x 40") as found:
        models.answer(checkpoints['pair'], pair, Asked(), tmp_path / 'page', job())
    assert '大小不同' in found.value.told('zh')
    pair[1].write_bytes(pair[1].read_bytes()[:-40] + bytes(40))
    with pytest.raises(ValueError, match=r"'after\.png'") as found:
        models.answer(checkpoints['pair'], pair, Asked(), tmp_path / 'page', job())
    assert str(tmp_path) not in str(found.value)


@needs_geo
def test_a_refused_scene_says_why(models, checkpoints, tmp_path):
    from scene_files import texture, write_raster
    images = [tmp_path / 'before.tif', tmp_path / 'after.tif']
    write_raster(images[0], texture(80, 80))
    write_raster(images[1], texture(80, 80)[:1])
    with pytest.raises(Problem, match='one date is grey') as found:
        models.answer(checkpoints['pair'], images, Asked(), tmp_path / 'page', job())
    assert '灰' in found.value.told('zh') or '不通过' in found.value.told('zh')


def test_other_bands_and_values_are_read(models, checkpoints, tmp_path):
    from scene_files import texture
    images = [tmp_path / 'before.tif', tmp_path / 'after.tif']
    for seed, path in enumerate(images):
        Image.fromarray(texture(64, 64, seed)[0].astype(np.uint16) * 10).save(path)
    with pytest.raises(ValueError, match='--scale') as found:
        models.answer(checkpoints['pair'], images, Asked(), tmp_path / 'first', job())
    assert '请展开“波段、数值范围' in told(Words('zh'), found.value)
    answer = models.answer(checkpoints['pair'], images, Asked(bands=(1, 1, 1), scale=(0, 2550)),
                           tmp_path / 'page', job())
    assert 'bands 1, 1, 1' in answer.how
    assert '--bands 1 1 1 --scale 0 2550' in answer.command


def test_doubts_are_shown_where_there_are_some():
    shown = doubt_of(Doubt(0.3, True, (Reason('novelty', 1.0, 'far'),)))
    assert shown['value'] == 0.3 and shown['reasons'][0]['name'] == 'novelty'
    assert doubt_of(Doubt(inputs=dict(novelty=0.1)))['value'] is None
    assert doubt_of(Doubt()) is None
    assert doubt_of(None) is None


def test_a_preview_shows_what_is_no_picture_yet(tmp_path):
    path = tmp_path / 'wide.png'
    Image.new('RGB', (3000, 100), 'red').save(path)
    assert max(Image.open(preview(path, tmp_path / 'small.png')[0]).size) <= 1024
    path.write_bytes(b'nothing')
    with pytest.raises(UnreadableImage):
        preview(path, tmp_path / 'none.png')


@needs_geo
def test_a_preview_is_of_the_whole_image_or_there_is_none(tmp_path):
    from scene_files import texture, write_raster
    path = write_raster(tmp_path / 'a.tif', texture(256, 256), tiled=True, blockxsize=64,
                        blockysize=64, compress='deflate')
    assert preview(path, tmp_path / 'whole.png')[1] == ''
    data = bytearray(path.read_bytes())
    data[len(data) // 2:len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    assert preview(path, tmp_path / 'damaged.png') == (None, 'damaged')
    assert not (tmp_path / 'damaged.png').exists()


@needs_geo
def test_a_preview_of_measured_values_is_stretched(tmp_path):
    from scene_files import texture, write_raster
    path = write_raster(tmp_path / 'deep.tif', texture(40, 60).astype(np.uint16)[[0, 1, 2, 0]] * 9)
    shown = np.asarray(Image.open(preview(path, tmp_path / 'small.png')[0]))
    assert shown.shape == (40, 60, 3)
    assert shown.std() > 20


def test_nothing_here_needs_the_framework_of_the_page(repo):
    for name in ('limits', 'words', 'visitors', 'jobs', 'answers', 'wishes', 'examples', 'markup'):
        text = (repo / 'rscc' / 'demo' / f'{name}.py').read_text()
        assert not re.search(r'^\s*(from|import) (gradio|fastapi|starlette|uvicorn)', text, re.M)
