import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources

import jinja2
import numpy as np
import pytest
import torch
from PIL import Image

from rscc.structures import ScoredCaption
from rscc.visualization.attention import save_evidence
from rscc.visualization.pages import render_page
from rscc.visualization.picture_files import save_mask
from rscc.visualization.report import write_report

STOCK = ['there is no difference', 'the two scenes seem identical']


DRAWN = {'agreement': 0.31, 'abstained': True, 'drawn': 8,
         'strip': [[80.0, 'a <b>tree</b>'], [1.0, 'a house is built'], [0.1, 'a house is built']]}


@pytest.fixture
def run(tmp_path):
    """Four pairs: right, wrong flag, right and unchanged, without scores."""
    rng = np.random.default_rng(0)
    for name in 'AB':
        image = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
        image.save(tmp_path / f'{name}.png')
    said = ['a house is built', STOCK[0], STOCK[1], 'a <script>road</script> & "tree"']
    flags, cider = [True, True, False, True], [120.0, 3.0, 200.0, None]
    samples = [{
        'sample_id': f'test_{i}', 'img_path_from': str(tmp_path / 'A.png'),
        'img_path_to': str(tmp_path / 'B.png'), 'references': ['two houses are built', f'n{i}'],
        'gt_change_flag': flags[i], 'prediction': said[i], 'score': -0.1 * i,
        'nbest': [[said[i], -0.1], ['a lake', -0.5]],
        'scores': {} if cider[i] is None else {'CIDEr': cider[i]}
    } for i in range(4)]
    return {
        'config': 'configs/x.py', 'checkpoint': 'epoch_1.pth', 'split': 'test', 'protocol': 'coco',
        'dataset': {'dataset_type': 'Tiny', 'language': 'en', 'no_change_captions': STOCK,
                    'classes': ['unchanged', 'building'], 'palette': [[0, 0, 0], [230, 60, 50]]},
        'metrics': {'caption/all/CIDEr': 81.04, 'caption/changed/CIDEr': 12.5,
                    'baseline/all/CIDEr': 40.0, 'caption/flag_accuracy': 0.75,
                    'change/F1_changed': 0.5}, 'samples': samples}


@pytest.fixture
def masks(tmp_path):
    """Masks of the first sample only."""
    mask = np.zeros((40, 40), np.uint8)
    mask[5:20, 5:20] = 1
    save_mask(tmp_path / 'show/masks/test_0.png', mask)
    save_mask(tmp_path / 'show/reference_masks/test_0.png', np.roll(mask, 4, 1))
    return tmp_path / 'show/masks'


def html_of(run, tmp_path, **options):
    return write_report(run, tmp_path / 'report.html', **options).read_text(encoding='utf-8')


class Page(HTMLParser):
    """What a browser makes of a report: tags, attributes and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.open, self.errors, self.tags, self.texts = [], [], [], []
        self.feed(html)
        assert not self.errors and not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ('img', 'input', 'meta', 'br', 'link'):
            self.open.append((tag, dict(attrs).get('class', '')))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop()[0] != tag:
            self.errors.append(tag)

    def handle_data(self, data):
        if data.strip() and self.open:
            self.texts.append((*self.open[-1], data.strip()))

    def of(self, tag, kind=None):
        """Return the texts that stand directly in a tag (of a class)."""
        return [text for name, classes, text in self.texts
                if name == tag and (kind is None or kind in classes.split())]

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def test_report_is_well_formed_and_fetches_nothing(run, tmp_path, masks):
    html = html_of(run, tmp_path, mask_dir=masks)
    page = Page(html)
    addresses = page.attributes('src') + page.attributes('data-src')
    assert addresses and all(address.startswith('data:image/') for address in addresses)
    assert page.attributes('href') == ['#samples', '#scores']
    assert not re.search(r'https?://|@import|url\(', html)


def test_style_and_script_stand_in_the_file_unchanged(run, tmp_path):
    html, folder = html_of(run, tmp_path), resources.files('rscc.visualization') / 'templates'
    for tag, names in (('style', ('base.css', 'report.css')), ('script', ('report.js', ))):
        text = '\n'.join((folder / name).read_text(encoding='utf-8').strip() for name in names)
        assert len(text) > 1000 and f'<{tag}>\n{text}\n</{tag}>' in html and '</' not in text


@pytest.mark.skipif(not shutil.which('node'), reason='node.js is not installed')
def test_script_is_valid():
    script = resources.files('rscc.visualization') / 'templates' / 'report.js'
    subprocess.run(['node', '--check', str(script)], check=True)


def test_header_tells_what_was_tested(run, tmp_path):
    html = html_of(run, tmp_path)
    for fact in ('configs/x.py', 'epoch_1.pth', 'coco', 'Tiny'):
        assert fact in html


def test_text_of_models_and_people_is_escaped(run, tmp_path, masks):
    evil = '"><img src=x onerror=alert(1)>\'{{ 7 * 7 }}</script><script>alert(2)</script>'
    sample = run['samples'][0]
    sample |= {**DRAWN, 'prediction': evil, 'references': [evil], 'nbest': [[evil, None]] * 2,
               'scores': {evil: 1.5}, 'strip': [[1.0, evil]], 'truncated': evil,
               'failures': ['wrong_object'], 'swapped': {'prediction': evil},
               'doubt': {'value': 0.5, 'sure': False, 'reasons': [
                   {'name': evil, 'score': 1.0, 'text': evil}]}}
    run['samples'][1]['sample_id'] = evil
    run['samples'][2]['img_path_to'] = evil
    run['dataset'] |= {'classes': ['unchanged', evil], 'dataset_type': evil, 'language': evil}
    run |= {'config': evil, 'metrics': {f'change/{evil}': 0.5, f'caption/all/{evil}': 0.5}}
    words = ScoredCaption(evil, -1.0).looking([evil], torch.rand(1, 2, 3, 3))
    save_evidence(masks.parent / 'evidence/test_0.png', words)
    html = html_of(run, tmp_path, mask_dir=masks)
    page = Page(html)
    said = [attributes for tag, attributes in page.tags if 'data-evidence' in attributes]
    assert len(said) == 1 and page.of('span').count(evil) == 2  # the word, and the score's name
    assert page.of('li')[:3] == [evil] * 3
    assert [tag for tag, _ in page.tags].count('script') == 3
    assert not {'onerror', 'x'} & {name for _, given in page.tags for name in given}
    assert 'alert(2)</script>' not in html
    assert json.loads(page.attributes('data-scores')[0])[evil] == 1.5
    assert json.loads(page.of('script')[1])['pred'] == [
        [evil, '#e63c32']]


def test_a_value_that_the_templates_miss_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'words' is undefined"):
        list(render_page('rscc.visualization', 'report.html.j2', (), ()))


def test_every_sample_has_a_card_with_both_dates(run, tmp_path):
    html = html_of(run, tmp_path)
    assert html.count('<article') == 4 and html.count('class="date"') == 8
    assert len([marks for marks in marks_of(html) if 'changed' in marks]) == 3


def marks_of(html):
    """Return what every card can be filtered by."""
    return [marks.split() for marks in Page(html).attributes('data-marks')]


def counted(html, mark):
    return sum(mark in marks for marks in marks_of(html))


def test_the_page_opens_with_a_verdict_and_numbers_before_the_samples(run, tmp_path):
    html = html_of(run, tmp_path)
    page = Page(html)
    assert page.of('h1') == ['Right about change in 3 of 4 pairs: 1 missed, 0 invented.']
    assert page.of('dd')[:3] == ['4', '75.0 %', '12.5']
    assert html.index('</h1>') < html.index('class="numbers"') < html.index('id="samples"')
    assert html.index('id="samples"') < html.index('id="scores"')


def test_pictures_of_later_samples_wait_until_they_are_near(run, tmp_path, masks):
    run['samples'] = [dict(run['samples'][0], sample_id=f'test_{i}') for i in range(7)]
    tags = Page(html_of(run, tmp_path, mask_dir=masks)).tags
    dates = [attributes for tag, attributes in tags if attributes.get('class') == 'date']
    assert ['src' in date for date in dates] == [True] * 8 + [False] * 6
    assert all(('src' in date) != ('data-src' in date) for date in dates)
    assert {(date['width'], date['height']) for date in dates} == {('40', '40')}


def test_failures_have_a_part_of_their_own(run, tmp_path):
    assert 'id="failures"' not in html_of(run, tmp_path)
    for sample, kinds in zip(run['samples'], ([], ['missed_change'], [], ['wrong_place']),
                             strict=True):
        sample['failures'] = kinds
    html = html_of(run, tmp_path)
    page = Page(html[html.index('<section class="part wrap" id="failures"'):
                     html.index('<section class="part wrap" id="scores"')])
    assert page.of('p', 'lead')[0].startswith('2 of 4 sentences fail in at least one way')
    assert page.of('h2') == ['missed change', 'wrong place']
    assert page.attributes('href') == ['#s1', '#s3'] and len(page.of('td')) == 12
    assert counted(html, 'faults') == 2 and counted(html, 'wrong_place') == 1


def test_curves_come_from_the_log_of_the_training(run, tmp_path):
    assert 'id="curves"' not in html_of(run, tmp_path, log_dir=tmp_path)
    log = tmp_path / 'run/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{"iter": 20, "loss": 3.5}\n{"change/mIoU": 0.25, "step": 1}\n'
                   '{"iter": 40, "loss": 1.5}\n')
    html = html_of(run, tmp_path, log_dir=tmp_path)
    assert html.count('<svg') == 2 and html.count('<polyline') == 1
    page = Page(html)
    assert {'mean IoU, 20: 0.25', 'sum of the losses, 40: 1.5'} <= set(page.of('title'))


def test_words_know_where_the_model_looked(run, tmp_path, masks):
    said = ScoredCaption('a house is built', -1.0).looking(
        ['a', 'house', 'is', 'built'], torch.rand(4, 3, 2, 2))
    save_evidence(masks.parent / 'evidence/test_0.png', said)
    page = Page(html_of(run, tmp_path, mask_dir=masks))
    assert [text for tag, _, text in page.texts if text in said.words] == said.words
    assert page.attributes('data-grid') == ['4 3 2 2'] and len(page.of('p', 'hint')) == 1


def test_the_interface_has_its_own_language(run, tmp_path):
    for sample in run['samples']:
        sample['failures'] = ['wrong_count']
        sample['doubt'] = {'value': 0.9, 'sure': False, 'reasons': []}
    html = html_of(run, tmp_path, language='zh')
    page = Page(html)
    assert '<html lang="zh">' in html and page.of('h1')[0].startswith('共 4 对')
    given = {text for sample in run['samples'] for text in
             (sample['prediction'], *sample['references'], sample['sample_id'])}
    english = {text for tag, kind, text in page.texts if tag not in ('style', 'script', 'title')
               and re.search('[A-Za-z]{3}', text) and kind != 'kicker'
               and not any(text in known or known in text for known in given)}
    # Names of metrics and of files stay as they are.
    assert not {text for text in english if not re.search(
        'CIDEr|F1|flag_accuracy|coco|configs|epoch|test|rscc|JavaScript|a lake', text)}
    with pytest.raises(ValueError, match='language'):
        html_of(run, tmp_path, language='fr')


def test_wrong_change_flag_is_marked(run, tmp_path):
    assert counted(html_of(run, tmp_path), 'wrong') == 1
    run['samples'][0]['pred_change_flag'] = False
    assert counted(html_of(run, tmp_path), 'wrong') == 2


def test_flag_stays_open_where_the_dataset_names_no_stock_sentences(run, tmp_path):
    run['dataset']['no_change_captions'] = []
    html = html_of(run, tmp_path)
    assert counted(html, 'wrong') == 0 and '>predicted' not in html.split('</header>')[1]


def test_masks_become_layers_with_errors(run, tmp_path, masks):
    html = html_of(run, tmp_path, mask_dir=masks)
    for layer in ('pred', 'gt', 'errors'):
        assert html.count(f'class="layer {layer}"') == 1
    assert '<select name="layer">' in html
    assert '<select name="layer">' not in html_of(run, tmp_path)


def test_missing_image_is_said_on_the_card(run, tmp_path):
    run['samples'][1]['img_path_from'] = str(tmp_path / 'gone.png')
    broken = tmp_path / 'broken.png'
    broken.write_bytes(b'\x89PNG not really')
    run['samples'][2]['img_path_to'] = str(broken)
    html = html_of(run, tmp_path)
    assert f'image not found: {tmp_path / "gone.png"}' in html
    assert f'image cannot be read: {broken}' in html
    assert html.count('class="date"') == 6


def test_single_images_need_no_comparison(run, tmp_path):
    for sample in run['samples']:
        sample['img_path'] = sample.pop('img_path_from')
        del sample['img_path_to']
    html = html_of(run, tmp_path)
    assert html.count('class="date"') == 4 and 'class="stack' not in html


def test_chinese_datasets_get_chinese_labels(run, tmp_path):
    run['dataset']['language'] = 'zh'
    run['samples'][0]['prediction'] = '左侧新建了一栋房屋'
    html = html_of(run, tmp_path)
    assert '前时相' in html and '左侧新建了一栋房屋' in html and '<html lang="zh">' in html


def test_sample_limit_is_said_and_even(run, tmp_path):
    html = html_of(run, tmp_path, max_samples=2)
    assert '4 (2 shown, evenly spaced)' in html
    assert re.findall(r'<h3>(test_.)', html) == ['test_0', 'test_3']


def test_pictures_shrink_to_the_size_limit(run, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (600, 600, 3), np.uint8)
    for name in 'AB':
        Image.fromarray(noise).save(tmp_path / f'{name}.png')
    large = html_of(run, tmp_path)
    small = html_of(run, tmp_path, max_megabytes=0.3)
    assert len(small) < 0.33e6 < len(large)


def test_a_sentence_drawn_from_noise_has_its_trajectory_and_agreement(run, tmp_path):
    assert 'trajectory"' not in html_of(run, tmp_path).split('<body>')[1]
    run['samples'][1] |= DRAWN
    html = html_of(run, tmp_path)
    page = Page(html)
    assert html.count('<details class="trajectory" open>') == 1
    assert 'Denoising trajectory · 3 steps' in page.of('summary')
    assert page.of('p', 'doubt') == ['Agreement of 8 sentences'] and '<b>0.31</b>' in html
    assert '--share:0.310' in page.attributes('style')
    assert counted(html, 'abstained') == 1
    assert 'abstained: the sentences drawn agree too little' in page.of('span', 'wrong')
    assert page.attributes('name').count('trajectories') == 1
    assert 'abstained' in page.attributes('value')


def test_only_the_first_trajectory_is_open_and_nothing_to_filter_is_not_offered(run, tmp_path):
    for sample in run['samples']:
        sample |= DRAWN | {'abstained': False}
    html = html_of(run, tmp_path)
    assert html.count('<details class="trajectory"') == 4
    assert html.count('class="trajectory" open') == 1
    assert '<option value="abstained">' not in html and 'agreement|worst' in html


def test_words_of_a_trajectory_are_marked_by_what_becomes_of_them(run, tmp_path):
    strip = [[80.0, 'tree tree is'], [8.0, 'a tree is'], [1.0, 'a house is'], [0.5, 'a house is']]
    html = trajectory_of(run, tmp_path, strip, 'a house is')
    assert '<p>tree tree <b>is</b></p>' in html
    assert '<p><mark>a</mark> tree <b>is</b></p>' in html
    assert '<p><b>a</b> <mark>house</mark> <b>is</b></p>' in html
    assert html.count('<li>') == 3 and 'noise 1 – 0.5<small>2 steps</small>' in html
    html = trajectory_of(run, tmp_path, [[2.0, ''], [1.0, 'a lake & is']], 'a house is')
    assert '<p>—</p>' in html
    assert '<p><mark>a</mark> <u>lake &amp;</u> <mark>is</mark></p>' in html


def trajectory_of(run, tmp_path, strip, said):
    run['samples'][0] |= {**DRAWN, 'prediction': said, 'strip': strip}
    return re.search('<details class="trajectory".*?</details>', html_of(run, tmp_path), re.S)[0]


def test_without_a_trajectory_or_others_to_agree_with_there_is_nothing(run, tmp_path):
    run['samples'][0] |= {**DRAWN, 'drawn': 1, 'strip': []}
    page = Page(html_of(run, tmp_path))
    assert not page.of('p', 'agreement') and 'trajectories' not in page.attributes('name')


def test_chinese_trajectories_have_chinese_labels(run, tmp_path):
    run['dataset']['language'] = 'zh'
    html = trajectory_of(run, tmp_path, [[1.0, '新建树木']], '新建房屋')
    assert '去噪轨迹 · 1 步' in html and '<p><b>新建</b>树木</p>' in html
    html = html_of(run, tmp_path)
    assert '8 个采样句的一致度' in html and '弃答：' in html


@pytest.mark.parametrize(('language', 'truncated', 'shown'), [
    ('en', 40, 'cut at the limit of 40 tokens'), ('en', True, 'cut at the token limit'),
    ('zh', 40, '达到 40 个词元的上限被截断'), ('en', False, None), ('en', None, None)])
def test_a_sentence_cut_at_the_token_limit_is_marked(run, tmp_path, language, truncated, shown):
    run['dataset']['language'] = language
    run['samples'][2]['truncated'] = truncated
    page = Page(html_of(run, tmp_path))
    assert page.of('span', 'cut') == ([shown] if shown else [])
    assert page.attributes('value').count('cut') == bool(shown)
    assert sum('cut' in marks.split() for marks in page.attributes('data-marks')) == bool(shown)
    notes = [text for text in page.of('p', 'note') if re.search('1 of the 4|1 / 4', text)]
    assert len(notes) == len(page.attributes('title')) == bool(shown)
    if shown:
        assert page.attributes('title')[0] in notes[0]


def tables_of(metrics, tmp_path):
    html = html_of({'samples': [], 'metrics': metrics}, tmp_path)
    return html[html.index('id="scores"'):]


def test_subsets_are_rows_and_baselines_follow_them(tmp_path):
    html = tables_of({'baseline/changed/CIDEr': 20.04, 'caption/all/CIDEr': 126.64,
                      'caption/all/Bleu_4': 59.8, 'human/all/CIDEr': 90.0}, tmp_path)
    first = '<tr><th scope="row">all pairs</th><td>126.6</td><td>59.8</td></tr>'
    last = ('<tr class="baseline"><th scope="row">baseline: changed pairs</th><td>20.0</td>'
            '<td>–</td></tr>')
    assert html.index(first) < html.index('human: all pairs</th>') < html.index(last)
    assert 'BLEU-4' in html and 'look at no image' in html
    assert 'look at no image' not in tables_of({'caption/all/CIDEr': 126.64}, tmp_path)


def test_groups_are_named_for_readers(tmp_path):
    page = Page(html_of({'samples': [], 'metrics': {'change/mIoU': 0.5, 'caption/x': 1, 'time': 3,
                                                    'my/x': 2}}, tmp_path))
    assert page.of('h2') == ['Change map (0 to 1)', 'Flag and content of the sentences (0 to 1)',
                             'Metrics', 'My', 'This run']


@pytest.mark.parametrize(('name', 'value', 'shown'), [
    ('flag_accuracy', 0.9312, '0.931'), ('all/Sm', 7.25, '7.2'), ('x', 126.64, '126.6'),
    ('x', 0.5, '0.500'), ('x', -0.04, '-0.040'), ('x', -12.34, '-12.3')])
def test_fractions_keep_three_digits_and_scores_one(tmp_path, name, value, shown):
    html = tables_of({f'caption/{name}': value}, tmp_path)
    assert f'<td>{shown}</td>' in html or f'<dd>{shown}</dd>' in html


def test_text_among_the_metrics_is_left_out(tmp_path):
    assert 'No metrics' in tables_of({'protocol': 'coco', 'done': True}, tmp_path)


def test_run_without_metrics_or_samples_still_gives_a_page(tmp_path):
    html = html_of({'samples': []}, tmp_path)
    assert 'No metrics were computed' in html and html.endswith('</html>\n')


def test_samples_without_images_and_candidates_without_scores_are_shown(run, tmp_path):
    for key in ('img_path_from', 'img_path_to'):
        run['samples'][0].pop(key)
    run['samples'][1]['nbest'] = [['a pond', None], ['a lake', None]]
    html = html_of(run, tmp_path)
    assert html.count('this sample names no image') == 1
    assert '<li>a pond</li><li>a lake</li>' in html


def test_predictions_without_samples_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no list 'samples'; found the keys \['metrics'\]"):
        write_report({'metrics': {}}, tmp_path / 'report.html')


def test_failed_report_leaves_the_previous_one(run, tmp_path):
    html_of(run, tmp_path)
    before = (tmp_path / 'report.html').read_bytes()
    run['samples'][3]['prediction'] = 5
    with pytest.raises(AttributeError):
        html_of(run, tmp_path)
    assert (tmp_path / 'report.html').read_bytes() == before
    assert not list(tmp_path.glob('.report*'))


def drive(page, script):
    """Load the page in a headless browser, run ``script``, return the names of the cards shown."""
    browser = shutil.which('chromium') or shutil.which('google-chrome')
    if browser is None:
        pytest.skip('no chromium or google-chrome to drive the page')
    report = ("document.title = 'SHOWN ' + [...document.querySelectorAll('.card:not([hidden]) h3')]"
              ".map(h => h.firstChild.textContent) + ' ' + "
              "document.querySelector('.count').textContent + ' END'")
    driven = page.with_name('driven.html')
    driven.write_text(page.read_text(encoding='utf-8').replace(
        '</body>', f"<script>const form = document.querySelector('.bar form');{script};"
        "form.dispatchEvent(new Event('input', {bubbles: true}));" + report + '</script></body>'),
        encoding='utf-8')
    dom = subprocess.run(
        [browser, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--dump-dom',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         f'--user-data-dir={page.parent / "profile"}', driven.as_uri()],
        capture_output=True, text=True, timeout=180, check=True).stdout
    return re.search('SHOWN (.*?) END', dom).group(1)


@pytest.mark.parametrize(('script', 'shown'), [
    ('', 'test_0,test_1,test_2,test_3 4 of 4 samples'),
    ("form.sort.value = 'CIDEr|worst'", 'test_1,test_0,test_2,test_3 4 of 4 samples'),
    ("form.sort.value = 'CIDEr|best'", 'test_2,test_0,test_1,test_3 4 of 4 samples'),
    ("form.show.value = 'unchanged'", 'test_2 1 of 4 samples'),
    ("form.show.value = 'wrong'", 'test_1 1 of 4 samples'),
    ("form.search.value = 'HOUSE n3'", 'test_3 1 of 4 samples'),
    ("form.search.value = 'nowhere'", ' 0 of 4 samples'),
    ("form.show.value = 'abstained'", 'test_2 1 of 4 samples'),
    ("form.sort.value = 'agreement|worst'", 'test_2,test_1,test_0,test_3 4 of 4 samples'),
    ("form.trajectories.click(); document.querySelectorAll('.trajectory[open]').forEach("
     "node => node.closest('.card').querySelector('h3').prepend('open '))",
     'open ,open ,test_2,test_3 4 of 4 samples'),
    ("form.show.value = 'cut'", 'test_3 1 of 4 samples'),
    ("form.show.value = 'said_changed'", 'test_0,test_3 2 of 4 samples'),
    ("form.sort.value = 'doubt|best'", 'test_2,test_0,test_1,test_3 4 of 4 samples'),
    ("document.querySelector('.more, .example').click()", 'test_1 1 of 4 samples'),
    ("document.querySelector('.tabs a[href=\"#scores\"]').click(); const parts = "
     "[...document.querySelectorAll('.part')].filter(part => getComputedStyle(part).display !== "
     "'none'); document.querySelector('h3').prepend(parts.map(part => part.id) + ' ')",
     'scores ,test_1,test_2,test_3 4 of 4 samples'),
])
def test_sorting_and_filtering_in_a_browser(run, tmp_path, script, shown):
    run['samples'][1] |= {**DRAWN, 'agreement': 0.5, 'abstained': False}
    run['samples'][2] |= {**DRAWN, 'strip': []}
    run['samples'][0] |= {**DRAWN, 'agreement': 0.9, 'abstained': False}
    run['samples'][3]['truncated'] = 40
    run['samples'][1]['failures'] = ['missed_change']
    run['samples'][2]['doubt'], run['samples'][0]['doubt'] = {'value': 0.8}, {'value': 0.1}
    page = write_report(run, tmp_path / 'report.html')
    assert drive(page, script) == shown
