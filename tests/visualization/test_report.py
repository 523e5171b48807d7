import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from rscc.visualization.picture_files import save_mask
from rscc.visualization.report import write_report

STOCK = ['there is no difference', 'the two scenes seem identical']


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


class Outline(HTMLParser):
    """Collects tags that must be closed, and every address."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.errors = [], [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ('src', 'href')]
        if tag not in ('img', 'input', 'meta', 'br', 'link'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)


def test_report_is_well_formed_and_fetches_nothing(run, tmp_path, masks):
    html = html_of(run, tmp_path, mask_dir=masks)
    outline = Outline()
    outline.feed(html)
    assert not outline.errors and not outline.open
    assert outline.addresses and all(a.startswith('data:image/') for a in outline.addresses)
    assert not re.search(r'https?://|@import|url\(', html)


def test_header_tells_what_was_tested(run, tmp_path):
    html = html_of(run, tmp_path)
    for fact in ('configs/x.py', 'epoch_1.pth', 'coco', 'Tiny'):
        assert fact in html


def test_metrics_stand_beside_their_baselines(run, tmp_path):
    html = html_of(run, tmp_path)
    assert '<tr><th>all pairs</th><td>81.0</td></tr>' in html
    assert '<tr class=floor><th>baseline: all pairs</th><td>40.0</td></tr>' in html
    assert '<th>F1_changed</th><td>0.500</td>' in html


def test_text_of_models_and_people_is_escaped(run, tmp_path):
    run['samples'][0]['sample_id'] = '"><img src=x onerror=alert(1)>'
    run['dataset']['classes'] = ['unchanged', '</script><script>alert(2)']
    html = html_of(run, tmp_path)
    assert 'a &lt;script&gt;road&lt;/script&gt; &amp; &quot;tree&quot;' in html
    assert '<img src=x' not in html and 'script>alert(2)' not in html


def test_every_sample_has_a_card_with_both_dates(run, tmp_path):
    html = html_of(run, tmp_path)
    assert html.count('<article') == 4 and html.count('class="date"') == 8
    assert html.count('data-flag="changed"') == 3


def test_wrong_change_flag_is_marked(run, tmp_path):
    assert html_of(run, tmp_path).count(' data-wrong ') == 1
    run['samples'][0]['pred_change_flag'] = False
    assert html_of(run, tmp_path).count(' data-wrong ') == 2


def test_flag_stays_open_where_the_dataset_names_no_stock_sentences(run, tmp_path):
    run['dataset']['no_change_captions'] = []
    html = html_of(run, tmp_path)
    assert ' data-wrong ' not in html and 'predicted' not in html.split('</header>')[1]


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
    assert html.count('class="date"') == 4 and '<div class="stack">' not in html


def test_chinese_datasets_get_chinese_labels(run, tmp_path):
    run['dataset']['language'] = 'zh'
    run['samples'][0]['prediction'] = '左侧新建了一栋房屋'
    html = html_of(run, tmp_path)
    assert '前时相' in html and '左侧新建了一栋房屋' in html and '<html lang="zh">' in html


def test_sample_limit_is_said_and_even(run, tmp_path):
    html = html_of(run, tmp_path, max_samples=2)
    assert '4 (2 shown, evenly spaced)' in html
    assert re.findall('<h3>(test_.)', html) == ['test_0', 'test_3']


def test_pictures_shrink_to_the_size_limit(run, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (600, 600, 3), np.uint8)
    for name in 'AB':
        Image.fromarray(noise).save(tmp_path / f'{name}.png')
    large = html_of(run, tmp_path)
    small = html_of(run, tmp_path, max_megabytes=0.3)
    assert len(small) < 0.33e6 < len(large)


DRAWN = {'agreement': 0.31, 'abstained': True, 'drawn': 8,
         'strip': [[80.0, 'a <b>tree</b>'], [1.0, 'a house is built'], [0.1, 'a house is built']]}


def test_a_sentence_drawn_from_noise_has_its_strip_and_agreement(run, tmp_path):
    assert '<details class="strip"' not in html_of(run, tmp_path)
    run['samples'][0] |= DRAWN
    html = html_of(run, tmp_path)
    assert html.count('<details class="strip" open>') == 1 and 'From noise to words · 3' in html
    assert 'Agreement of 8 sentences' in html and '<b>0.31</b>' in html
    assert html.count(' data-abstained ') == 1 and 'abstained: the sentences drawn agree' in html
    assert html.count('name="strips"') == 1 and '<option value="abstained">' in html
    assert '&lt;b&gt;tree' in html and '<b>tree' not in html
    outline = Outline()
    outline.feed(html)
    assert not outline.errors and not outline.open


def test_only_the_first_strip_is_open_and_nothing_to_filter_is_not_offered(run, tmp_path):
    for sample in run['samples']:
        sample |= DRAWN | {'abstained': False}
    html = html_of(run, tmp_path)
    assert html.count('<details class="strip"') == 4 and html.count('class="strip" open') == 1
    assert '<option value="abstained">' not in html and 'agreement|worst' in html


def test_chinese_strips_have_chinese_labels(run, tmp_path):
    run['dataset']['language'] = 'zh'
    run['samples'][0] |= DRAWN | {'prediction': '新建房屋', 'strip': [[1.0, '新建树木']]}
    html = html_of(run, tmp_path)
    assert '从噪声到句子 · 1 步' in html and '8 个采样句的一致度' in html and '弃答：' in html
    assert '<p><b>新建</b>树木</p>' in html


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
        capture_output=True, text=True, timeout=60, check=True).stdout
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
    ("form.strips.click(); document.querySelectorAll('.strip[open]').forEach("
     "strip => strip.closest('.card').querySelector('h3').prepend('open '))",
     'open ,open ,test_2,test_3 4 of 4 samples'),
])
def test_sorting_and_filtering_in_a_browser(run, tmp_path, script, shown):
    run['samples'][1] |= {**DRAWN, 'agreement': 0.5, 'abstained': False}
    run['samples'][2] |= {**DRAWN, 'strip': []}
    run['samples'][0] |= {**DRAWN, 'agreement': 0.9, 'abstained': False}
    page = write_report(run, tmp_path / 'report.html')
    assert drive(page, script) == shown
