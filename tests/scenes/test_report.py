import base64
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib import resources

import fake_findings
import numpy as np
import pytest
from fake_findings import answers_of, findings_of, scene_of
from PIL import Image

import rscc.scenes
from rscc.scenes import pictures
from rscc.scenes.contracts import NODATA, CheckFinding, Gap, OutputOptions
from rscc.scenes.pair_check import PairCheck
from rscc.scenes.pictures import crop_of, reduced_map, thumbnail_shape, thumbnails
from rscc.scenes.report import write_report
from rscc.scenes.summary import write_summary
from rscc.text.pair_findings import Share, tell
from rscc.visualization.pages import page_words

pytest.importorskip('geopandas')
HOUSE, SAME = 'a new house is built', 'nothing has changed'
EVIL = '"><img src=x onerror=alert(1)>\'{{ 7 * 7 }}</script><script>alert(2)</script>'
SAID = [((0, 0, 256, 256), HOUSE, -0.2, True), ((256, 0, 512, 256), SAME, -0.1, False)]


def frames(height=600, width=800, count=2):
    rng = np.random.default_rng(0)
    smooth = rng.integers(60, 200, (height // 20, width // 20, 3), np.uint8)
    image = np.asarray(Image.fromarray(smooth).resize((width, height)))
    return [image, image // 2][:count]


@pytest.fixture
def town():
    """Two buildings, a road and pixels without data."""
    classes = np.zeros((600, 800), np.uint8)
    classes[100:150, 100:180] = 1
    classes[300:310, 600:640] = 1
    classes[400:410, 50:700] = 2
    classes[:40, 700:] = NODATA
    return classes


def written(tmp_path, change=None, said=(), options=None, found=None, count=2, **scene_options):
    """Write summary and report of a scene; return the page."""
    size = (600, 800) if change is None else change.shape
    scene = scene_of(frames(*size, count=count), **scene_options)
    findings = findings_of(scene, change, said, **(found or {}))
    options = options or OutputOptions()
    summary = write_summary(scene, findings, tmp_path, options)
    path = write_report(scene, answers_of(scene, change), findings, summary, tmp_path, options)
    return Page(path.read_text(encoding='utf-8'))


class Page(HTMLParser):
    """What a browser makes of a report: tags, attributes and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.html, self.open, self.tags, self.texts = html, [], [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ('img', 'input', 'meta', 'br', 'link', 'path'):
            self.open.append((tag, dict(attrs).get('class') or ''))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if data.strip() and self.open:
            self.texts.append((*self.open[-1], ' '.join(data.split())))

    def of(self, tag, kind=None):
        """Return the texts that stand directly in a tag (of a class)."""
        return [text for name, classes, text in self.texts
                if name == tag and (kind is None or kind in classes.split())]

    def attributes(self, name):
        return [given[name] for _, given in self.tags if name in given]

    def cards(self):
        """Return the attributes of every card."""
        return [given for tag, given in self.tags
                if tag == 'article' and given.get('class') == 'card']

    def images(self, kind=None):
        """Return the pictures of a class as arrays."""
        sources = [given['src'] for tag, given in self.tags
                   if tag == 'img' and (kind is None or given.get('class') == kind)]
        return [decoded(source) for source in sources]


def decoded(address):
    assert address.startswith('data:image/')
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(',')[2]))))


def test_page_is_well_formed_and_fetches_nothing(tmp_path, town):
    page = written(tmp_path, town, SAID)
    addresses = page.attributes('src') + page.attributes('href')
    assert len(addresses) == 3 + 2 * 3
    assert all(address.startswith('data:image/') for address in addresses)
    assert not re.search(r'https?://|@import|url\(', page.html)
    assert {path.name for path in tmp_path.iterdir()} == {'summary.json', 'report.html'}


def test_style_and_script_stand_in_the_file_unchanged(tmp_path, town):
    html = written(tmp_path, town).html
    for tag, names in (('style', ('visualization/templates/base.css',
                                  'scenes/templates/scene.css')),
                       ('script', ('scenes/templates/scene.js', ))):
        texts = [(resources.files('rscc') / name).read_text(encoding='utf-8') for name in names]
        text = '\n'.join(text.strip() for text in texts)
        assert len(text) > 1000 and f'<{tag}>\n{text}\n</{tag}>' in html and '</' not in text


@pytest.mark.skipif(not shutil.which('node'), reason='node.js is not installed')
def test_script_is_valid(tmp_path):
    script = resources.files('rscc.scenes') / 'templates' / 'scene.js'
    subprocess.run(['node', '--check', str(script)], check=True)


def test_page_opens_with_the_verdict_and_numbers(tmp_path, town):
    page = written(tmp_path, town, SAID)
    assert page.of('h1') == ['3 regions changed, 2,725 m² together']
    assert page.of('dd')[:6] == ['3', '2,725 m²', '2.3 %', '1 of 2', '11.9 ha', '0.8 %']
    assert page.of('p', 'lead') == [
        "0.8 % of the scene holds no data. Most said: 'a new house is built' (1 window)."]
    assert page.of('p', 'caution') == []
    assert 'demonstration' in written(tmp_path, town, rendered=True).of('p', 'caution')[0]


@pytest.mark.parametrize(('language', 'words'), [
    ('en', 'risk of error 71 %: too high, not sure'), ('zh', '出错风险 71%：过高，不确定')])
def test_the_doubt_about_a_sentence_is_told_beside_it(tmp_path, town, monkeypatch, language, words):
    assert 'risk of' not in ' '.join(written(tmp_path / 'plain', town, SAID).of('span'))
    for name, value in (('doubt', 0.71), ('risk', 'high'), ('reasons', 'it looks <odd>')):
        monkeypatch.setitem(fake_findings.DOUBT, name, value)
    spans = written(tmp_path / 'told', town, SAID, OutputOptions(language=language)).of('span')
    assert all(word in spans for word in (words, 'it looks <odd>'))


def test_a_low_risk_and_an_unknown_one_are_told_too(tmp_path, town, monkeypatch):
    for value, grade, text in ((0.04, 'low', 'risk of error 4 %: low'),
                               (float('nan'), 'uncalibrated',
                                'risk of error unknown: not calibrated')):
        monkeypatch.setitem(fake_findings.DOUBT, 'doubt', value)
        monkeypatch.setitem(fake_findings.DOUBT, 'risk', grade)
        page = written(tmp_path / grade, town, SAID)
        assert text in page.of('span')
    assert page.of('dd')[4] == '–' and 'not calibrated' in page.of('dt')[4]


def test_regions_come_with_crops_place_and_sentence_the_largest_first(tmp_path, town):
    page = written(tmp_path, town, SAID)
    assert [card['data-group'] for card in page.cards()] == ['road', 'building', 'building']
    assert [float(card['data-area']) for card in page.cards()] == [1625.0, 1000.0, 100.0]
    assert json.loads(page.cards()[1]['data-bounds']) == [12.5, 16.6667, 22.5, 25.0]
    assert page.of('b')[:3] == ['1,625 m²', '1,000 m²', '100 m²']
    assert page.of('p', 'sentence')[1:] == [HOUSE, 'No window here was described.']
    places = [text for text in page.of('span') if '°' in text]
    latitude, longitude = (float(part.split('°')[0]) for part in places[1].split(', '))
    # Of the pixel (140, 125) of the scene: 448070 m east, 3454937.5 m north in zone 50 N.
    assert abs(latitude - 31.2268) < 1e-3 and abs(longitude - 116.4546) < 1e-3
    assert places[1].endswith('E') and '° N,' in places[1]
    assert 'All 3 are listed.' in page.of('p', 'note')


def test_crop_shows_the_region_in_its_surroundings_with_an_outline(town):
    scene = scene_of(frames())
    findings = findings_of(scene, town)
    crop = crop_of(scene, findings.regions.iloc[0])
    assert crop.box == (76, 61, 204, 189) and crop.size == (128, 128)
    assert decoded(crop.frames[0]).shape == (128, 128, 3)
    points = set(re.findall(r'[\d.]+,[\d.]+', crop.outline))
    assert points == {'24,39', '24,89', '104,89', '104,39'}
    small = crop_of(scene, findings.regions.iloc[1])
    assert small.size == (96, 96)
    large = crop_of(scene, findings.regions.iloc[2])
    assert large.size == (800, 600) and decoded(large.frames[1]).shape == (192, 256, 3)


def test_crop_at_a_corner_stays_inside_the_scene(town):
    town[:] = 0
    town[590:, 790:] = 1
    scene = scene_of(frames(), crs=None)
    crop = crop_of(scene, findings_of(scene, town).regions.iloc[0])
    assert crop.box == (704, 504, 800, 600)
    assert set(re.findall(r'[\d.]+,[\d.]+', crop.outline)) == {'86,86', '86,96', '96,96', '96,86'}


def test_outline_keeps_holes_and_stays_short(town):
    town[:] = 0
    town[100:500, 100:700] = np.random.default_rng(0).integers(0, 2, (400, 600))
    town[100:500, 100:700:2] = 1
    scene = scene_of(frames())
    regions = findings_of(scene, town).regions
    biggest = regions.iloc[int(regions['pixels'].argmax())]
    rings = len(biggest.geometry.interiors) + 1
    outline = crop_of(scene, biggest).outline
    assert rings > 1000 and 1 < outline.count('M') <= rings and len(outline) < 40_000


def test_reduced_map_keeps_single_pixels_and_what_has_no_answer():
    classes = np.zeros((1000, 3000), np.uint8)
    classes[503, 2001] = 2
    classes[700:712, 100:112] = 1
    classes[:, 2800:] = NODATA
    classes[10, 2900] = 1
    scene = scene_of([np.zeros((1000, 3000, 3), np.uint8)] * 2, block=700)
    found = reduced_map(scene, answers_of(scene, classes), (100, 300))
    assert found.shape == (100, 300)
    assert (found[49:52, 199:202] == 2).all() and (found == 2).sum() == 9
    assert (found[70:72, 10:12] == 1).all()
    assert (found[5:, 280:] == NODATA).all() and found[1, 290] == 1
    assert (reduced_map(scene, answers_of(scene, classes), (1000, 3000)) == classes).all()


def test_map_is_drawn_in_the_colours_of_its_legend(tmp_path, town):
    page = written(tmp_path, town, SAID, palette=[(0, 0, 0), (10, 120, 240), (255, 255, 255)])
    layer = page.images('map')[0]
    assert layer.shape == (600, 800, 4)
    assert tuple(layer[125, 140, :3]) == (10, 120, 240) and layer[500, 500, 3] == 0
    assert layer[20, 750, 3] > 0  # hatched
    legend = [given['style'] for tag, given in page.tags if tag == 'i' and 'style' in given]
    assert 'background: #0a78f0' in legend
    # White would be lost on bright roofs: the default colour of the class stands in.
    assert 'background: #f5c83c' in legend
    assert [text for text in page.of('th') if text in ('building', 'road', 'no answer')] == [
        'road', 'building', 'no answer']


def test_thumbnail_is_reduced_to_1600_pixels():
    scene = scene_of([np.full((1000, 4000, 3), 90, np.uint8)] * 2)
    assert thumbnail_shape(scene.reader.grid) == (400, 1600)
    found = [decoded(address) for address in thumbnails(scene)]
    assert [image.shape for image in found] == [(400, 1600, 3)] * 2
    assert abs(int(found[0].mean()) - 90) < 3


def test_at_most_200_regions_are_shown_and_the_rest_is_told(tmp_path):
    classes = np.zeros((400, 1000), np.uint8)
    for number in range(240):
        row, column = divmod(number, 40)
        classes[row * 20:row * 20 + 2, column * 20:column * 20 + 3 + number // 40] = 1
    page = written(tmp_path, classes)
    assert len(page.cards()) == 200
    assert 'The largest 200 of 240 are listed; all of them are in changes.gpkg.' in page.of('p')
    assert min(float(card['data-area']) for card in page.cards()) == 2 * 4 * 0.25


def test_pictures_of_noise_stay_within_their_budget(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    assert len(pictures._within(noise, pictures._CROP_SIZE)) <= pictures._CROP_SIZE
    most = 400 * pictures._CROP_SIZE + 2 * pictures._THUMBNAIL_SIZE
    assert most < 15_000_000


def test_captioner_without_a_map_lists_its_windows(tmp_path):
    page = written(tmp_path, None, [*SAID[::-1], SAID[0]], heads=('caption_head',))
    assert page.of('h1') == ['2 of 3 described windows tell of change']
    assert [card['data-group'] for card in page.cards()] == ['changed', 'changed', 'unchanged']
    assert not page.images('map') and 'path' not in [tag for tag, _ in page.tags]
    assert page.of('option')[:3] == ['change', 'score', 'place']


def test_single_images_need_no_slider(tmp_path):
    said = [((0, 0, 256, 256), 'a port', -0.2, False)]
    page = written(tmp_path, None, said, count=1, task='single', heads=('caption_head',))
    assert page.of('h1') == ['1 window was described'] and page.of('span', 'date') == ['Image']
    assert not [given for tag, given in page.tags if given.get('class') == 'wipe']
    assert len(page.images()) == 2


def test_detector_lists_regions_without_sentences(tmp_path, town):
    page = written(tmp_path, town, heads=('change_head',), crs=None)
    assert len(page.cards()) == 3 and page.of('p', 'sentence') == []
    assert '4,000 pixels' in page.of('b') and 'column 140, row 125' in page.of('span')


def test_nothing_found_is_a_page_too(tmp_path, town):
    page = written(tmp_path, np.zeros_like(town))
    assert page.of('h1') == ['No change was found'] and not page.cards()
    assert 'There is nothing to list.' in page.of('p', 'note')


def test_chinese_page_has_no_english_labels(tmp_path, town):
    page = written(tmp_path, town, [((0, 0, 256, 256), '新建了一栋房屋', -0.2, True)],
                   options=OutputOptions(language='zh'), found={'left_out': 3})
    assert page.of('h1') == ['发现 3 处变化区域，合计 2,725 平方米']
    assert page.of('span', 'date') == ['前时相', '后时相'] and '建筑物' in page.of('button')
    keys = set(page.of('dt')) | set(page.of('dd'))
    english = [text for tag, _, text in page.texts if tag not in ('style', 'script', 'title')
               and text not in keys and re.search('[A-Za-z]{3}', text)
               and not re.search('rscc|town|JavaScript', text)]
    assert english == []


def test_both_languages_have_the_same_words():
    english, chinese = (page_words('rscc.scenes', language) for language in ('en', 'zh'))
    assert english.keys() == chinese.keys()
    for key, words in english.items():
        assert str(words).count('{}') == str(chinese[key]).count('{}'), key


def test_text_of_models_files_and_people_is_escaped(tmp_path, town):
    check = {'verdict': EVIL, EVIL: EVIL, 'findings': [
        {'name': EVIL, 'status': status, 'value': EVIL, 'text': EVIL} for status in ('ok', 'warn')]}
    provenance = {'pair_check': check, EVIL: [EVIL]}
    page = written(tmp_path, town, [(box, EVIL, score, flag) for box, _, score, flag in SAID],
                   found={'gaps': [Gap((0, 0, 5, 5), EVIL)]}, provenance=provenance, name=EVIL,
                   classes=('unchanged', EVIL, 'road'), weights=EVIL)
    assert [tag for tag, _ in page.tags].count('script') == 1
    assert not {'onerror', 'x'} & {name for _, given in page.tags for name in given}
    assert 'alert(2)</script>' not in page.html
    evil = ' '.join(EVIL.split())
    assert evil in page.of('p', 'sentence') and evil in page.of('li') and evil in page.of('dd')
    assert evil in page.of('td', 'words') and evil in page.of('button')
    assert any(EVIL in given.get('data-group', '') for given in page.cards())


def test_check_of_the_pair_gaps_and_origin_are_shown(tmp_path, town):
    check = PairCheck.of([CheckFinding('overlap', 'ok', 1.0, 'all of it'),
                          CheckFinding('shift', 'warn', {}, 'shifted by 1.4 pixels')], (1.2, -0.7))
    provenance = {'pair_check': check.to_dict(),
                  'versions': {'rscc': '0.2', 'torch': None}}
    page = written(tmp_path, town, provenance=provenance, found={
        'gaps': [Gap((10 * i, 0, 10 * i + 9, 9), 'block 3 is damaged') for i in range(103)]})
    assert page.of('span', 'warn') == ['doubtful'] and page.of('li') == ['shifted by 1.4 pixels']
    told = CheckFinding.of('overlap', 'warn', 0.4, tell('overlap', share=Share(0.4)))
    chinese = written(tmp_path, town, provenance={'pair_check': PairCheck.of([told]).to_dict()},
                      options=OutputOptions(language='zh'))
    assert chinese.of('li') == ['后时相覆盖了前时相的 40%']
    rows = dict(zip(page.of('dt')[5:], page.of('dd')[5:], strict=True))
    assert rows['overlap'] == 'all of it' and rows['shift'] == '1.2, -0.7'
    assert rows['versions.rscc'] == '0.2'
    assert rows['model.weights_hash'] == 'ab' * 32 and 'versions.torch' not in rows
    assert rows['crs'] == 'WGS 84 / UTM zone 50N · EPSG:32650'
    assert '10–18, 0–8' in page.of('td') and '3 more are in summary.json.' in page.of('p')


def test_damaged_places_are_left_grey(tmp_path, town):
    page = written(tmp_path, town, damaged=((110, 110, 120, 120),), heads=('change_head',))
    thumbnail = page.images('before')[0]
    assert (abs(thumbnail[112:118, 112:118].astype(int) - 200) < 6).all()
    assert abs(int(thumbnail[500, 500, 0]) - int(frames()[0][500, 500, 0])) < 20
    crop = decoded(page.attributes('src')[5])  # of the second region, 128 pixels from (76, 61)
    assert (abs(crop[50:58, 35:43].astype(int) - 200) < 6).all()
    assert abs(int(crop[10, 100, 0]) - int(frames()[0][71, 176, 0])) < 20


def test_memory_does_not_grow_with_the_scene(tmp_path):
    classes = np.zeros((2400, 2400), np.uint8)
    classes[100:2300, 100:2300] = 1
    scene = scene_of(frames(2400, 2400), block=600)
    findings = findings_of(scene, classes)
    options = OutputOptions()
    summary = write_summary(scene, findings, tmp_path, options)
    write_report(scene, answers_of(scene, classes), findings, summary, tmp_path, options)
    assert scene.reader.largest <= 1600 * 1600 * 3


def test_same_findings_give_the_same_bytes(tmp_path, town):
    first, second = (written(tmp_path / name, town, SAID).html for name in 'ab')
    assert first == second
    assert (tmp_path / 'a/summary.json').read_bytes() == (tmp_path / 'b/summary.json').read_bytes()


def test_report_in_an_unknown_language_is_refused(tmp_path, town):
    scene = scene_of(frames())
    findings = findings_of(scene, town)
    summary = write_summary(scene, findings, tmp_path, OutputOptions())
    with pytest.raises(ValueError, match="language='fr' is unknown: use one of"):
        write_report(scene, answers_of(scene, town), findings, summary, tmp_path,
                     OutputOptions(language='fr'))


def test_failing_report_leaves_the_old_one(tmp_path, town):
    (tmp_path / 'report.html').write_text('old')

    def fails(block):
        raise OSError('no answer')
    scene = scene_of(frames())
    findings = findings_of(scene, town)
    summary = write_summary(scene, findings, tmp_path, OutputOptions())
    with pytest.raises(OSError, match='no answer'):
        write_report(scene, fails, findings, summary, tmp_path, OutputOptions())
    assert (tmp_path / 'report.html').read_text() == 'old'


WITHOUT_TORCH = """
import importlib, pkgutil, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'mmengine', 'mmseg', 'mmcv', 'transformers'):
            raise ImportError(f'{name} is blocked')
sys.meta_path.insert(0, Blocked())
import rscc.scenes
names = [module.name for module in pkgutil.iter_modules(rscc.scenes.__path__)]
for name in names:
    if name != 'torch_predictor':
        importlib.import_module('rscc.scenes.' + name)
import rscc.visualization.fonts
rscc.visualization.fonts.warn_without_cjk()
print(*names)
"""


def test_scenes_are_answered_where_torch_cannot_be_imported(repo):
    done = subprocess.run([sys.executable, '-c', WITHOUT_TORCH], cwd=repo, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {'contracts', 'pictures', 'report', 'summary', 'wording'} <= set(done.stdout.split())
    assert len(done.stdout.split()) == len(list(
        resources.files(rscc.scenes).glob('*.py'))) - 1
