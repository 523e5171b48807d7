"""The page in a real browser: Debian's Chromium without a window, driven by Playwright."""
import asyncio
import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('gradio', reason='the page needs the extra [demo]')
playwright = pytest.importorskip('playwright.sync_api',
                                 reason='driving a browser needs the package playwright')
CHROMIUM = os.environ.get('RSCC_CHROMIUM') or shutil.which('chromium')
if CHROMIUM is None:
    pytest.skip("needs the system's Chromium (Debian: apt install chromium)",
                allow_module_level=True)

PATIENCE = 120_000  # milliseconds
#: The page is told these; what Chromium itself would fetch is turned off.
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run',
         '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage']


@pytest.fixture(scope='module')
def address(checkpoints, tmp_path_factory):
    """A page with models in miniature, served in a thread."""
    import uvicorn

    from rscc.demo.answers import Models
    from rscc.demo.limits import Limits
    from rscc.demo.server import Server
    page = Server(Models(list(checkpoints.values()), device='cpu'),
                  tmp_path_factory.mktemp('page'), Limits(megabytes=1))
    server = uvicorn.Server(uvicorn.Config(page.app, log_level='warning', access_log=False))
    listening = socket.create_server(('127.0.0.1', 0))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f'http://127.0.0.1:{listening.getsockname()[1]}/', page
    server.should_exit = True
    thread.join(timeout=30)
    page.close()


@pytest.fixture(scope='module')
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, address):
    """Open the page; what it asked for, and what went wrong, is noted."""
    context = chromium.new_context(viewport=dict(width=1200, height=900), locale='en-GB',
                                   accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.asked, page.wrong = [], []
    page.on('request', lambda request: page.asked.append(request.url))
    page.on('console', lambda said: page.wrong.append(said.text) if said.type == 'error' else None)
    page.on('pageerror', lambda error: page.wrong.append(str(error)))
    page.goto(address[0])
    page.wait_for_selector('.rscc-zone')
    # The page's script listens from now on; a file given sooner goes unseen.
    page.wait_for_function("document.cookie.includes('rscc_language')")
    yield page
    context.close()


def give(page, pair, side='pair'):
    zones = page.locator(f'#rscc-zones-{side} .rscc-zone')
    for number, path in enumerate(pair):
        zones.nth(number).locator('input').set_input_files(path)
        page.wait_for_function(
            "([side, number]) => document.querySelectorAll(`#rscc-zones-${side} .rscc-zone`)"
            "[number].classList.contains('full')", arg=[side, number])


def answered(page, side='pair'):
    page.click(f'#rscc-run-{side}')
    page.wait_for_selector(f'#rscc-answer-{side} .rscc-said')


def same_as_the_tool(page, name):
    """Return the JSON that the page gives, which is that of the command that it shows."""
    with page.expect_download() as download:
        page.click('.rscc-files a[data-kind=json]')
    command = page.locator('.rscc code').first.text_content().split()
    assert command[:2] == ['rscc', 'infer']
    from rscc.commands.infer import main
    main([*command[2:], '--device', 'cpu'])
    found = json.loads(download.value.path().read_text())
    assert found == json.loads(Path('out', name).read_text())
    return found


def test_a_pair_is_uploaded_compared_told_and_downloaded(opened, address, pair, checkpoints,
                                                         tmp_path, monkeypatch, capsys):
    page = opened
    give(page, pair)
    assert page.locator('.rscc-swipe img').count() == 2  # both dates, before any answer
    answered(page)

    best = page.inner_text('#rscc-sentence')
    scores = page.locator('.rscc-said .score').all_inner_texts()
    assert best
    assert len(scores) == 3

    # The line between the dates follows mouse and keys, and the map can be dimmed.
    page.evaluate("document.querySelector('.rscc-swipe').scrollIntoView({block: 'center'})")
    box = page.locator('.rscc-swipe').bounding_box()
    page.mouse.move(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
    page.mouse.down()
    page.mouse.move(box['x'] + box['width'] / 4, box['y'] + box['height'] / 2)
    page.mouse.up()
    cut = "parseFloat(document.querySelector('.rscc-swipe').style.getPropertyValue('--cut'))"
    assert page.evaluate(cut) == pytest.approx(25, abs=2)
    page.focus('.rscc-swipe .cut')
    page.keyboard.press('ArrowRight')
    assert page.evaluate(cut) == pytest.approx(26, abs=2)
    assert page.locator('img.layer').evaluate('image => image.naturalWidth') == 64
    page.locator('.dim').fill('0')
    assert page.locator('img.layer').evaluate('image => getComputedStyle(image).opacity') == '0'

    # The JSON is that of the inference tool, asked as the page says.
    monkeypatch.chdir(tmp_path)
    expected = same_as_the_tool(page, 'before_after.json')
    capsys.readouterr()
    assert expected['captions'][0][0] == best
    with page.expect_download() as download:
        page.click('.rscc-files a[data-kind=mask]')
    mask = np.asarray(Image.open(download.value.path()))
    assert (mask != 0).mean() == pytest.approx(expected['change_share'])

    # The other language, of page and sentence.
    page.click('#rscc-language label:nth-child(2)')
    page.wait_for_selector('text=结果可信吗？')
    assert page.inner_text('#rscc-run-pair') == '描述变化'
    assert page.inner_text('#rscc-sentence') == best  # an answer stays what it was
    answered(page)
    page.wait_for_function("best => document.querySelector('#rscc-sentence').innerText !== best",
                           arg=best)

    assert all(url.startswith((address[0], 'data:', 'blob:')) for url in page.asked), page.asked
    assert page.wrong == []


def test_a_sample_pair_is_answered_in_windows(opened, samples, tmp_path, monkeypatch, capsys):
    for name in ('rasterio', 'geopandas', 'pyogrio'):
        pytest.importorskip(name, reason='scenes need the extra [geo]')
    pair = []
    for folder, name in (('A', 'before.png'), ('B', 'after.png')):
        source = min((samples / 'cdd_sample' / folder).iterdir())
        with Image.open(source) as image:
            image.convert('RGB').save(tmp_path / name)
        pair.append(tmp_path / name)
    give(opened, pair)
    answered(opened)
    monkeypatch.chdir(tmp_path)
    summary = same_as_the_tool(opened, 'summary.json')
    capsys.readouterr()
    assert summary['windows']['computed'] > 1
    assert opened.inner_text('.rscc-best') == summary['sentences'][0]
    assert opened.locator('.rscc-files a[data-kind=geopackage]').count() == 1
    assert opened.locator('img.layer').evaluate('image => image.naturalWidth') > 0


def test_an_example_and_a_single_image_are_answered(opened, pair):
    opened.click('[data-example=naip]')
    opened.wait_for_selector('.rscc-swipe')
    opened.click('button[role=tab]:nth-of-type(2)')
    give(opened, pair[:1], 'single')
    answered(opened, 'single')
    assert opened.inner_text('#rscc-answer-single #rscc-sentence')
    assert opened.locator('#rscc-answer-single .cut').count() == 0


def test_a_refused_file_is_told_where_it_was_dropped(opened, tmp_path):
    path = tmp_path / 'renamed.png'
    path.write_bytes(b'%PDF-1.4 no image')
    zone = opened.locator('#rscc-zones-pair .rscc-zone').first
    zone.locator('input').set_input_files(path)
    opened.wait_for_selector('.rscc-zone .say:not(:empty)')
    assert "'renamed.png' is no image" in zone.inner_text()
    path.write_bytes(bytes(2_000_000))
    zone.locator('input').set_input_files(path)
    opened.wait_for_function(
        "document.querySelector('.rscc-zone .say').innerText.includes('at most 1 MB')")
    opened.click('#rscc-run-pair')
    opened.wait_for_selector('text=The earlier image is missing')


def test_refusals_follow_the_language_that_the_page_shows(opened, tmp_path):
    def in_chinese():
        opened.wait_for_function(
            "document.querySelector('.rscc-zone').dataset.language === 'zh'")

    path = tmp_path / 'notes.md'
    path.write_text('no image')
    zone = opened.locator('#rscc-zones-pair .rscc-zone').first
    opened.click('#rscc-language label:nth-child(2)')
    in_chinese()
    opened.wait_for_function("document.cookie.includes('rscc_language=zh')")
    zone.locator('input').set_input_files(path)
    opened.wait_for_selector('.rscc-zone .say:not(:empty)')
    assert '“notes.md”不是可以读取的影像' in zone.inner_text()

    # What a zone says already follows as well, whoever found the fault.
    opened.click('#rscc-language label:nth-child(1)')
    opened.wait_for_function(
        "document.querySelector('.rscc-zone .say').innerText.includes('is no image')")
    assert 'rscc_language=en' in opened.evaluate('document.cookie')
    path.write_bytes(bytes(2_000_000))
    zone.locator('input').set_input_files(path)
    opened.wait_for_function(
        "document.querySelector('.rscc-zone .say').innerText.includes('at most 1 MB')")
    opened.click('#rscc-language label:nth-child(2)')
    opened.wait_for_function(
        "document.querySelector('.rscc-zone .say').innerText.includes('最多允许 1 MB')")


def test_commands_name_files_as_they_are_or_say_what_was_changed(opened, pair, tmp_path):
    renamed = [pair[0].rename(tmp_path / '影像（1）.png'), pair[1].rename(tmp_path / '后 <b>&.png')]
    give(opened, renamed)
    zones = opened.locator('#rscc-zones-pair .rscc-zone')
    assert 'your file' not in zones.nth(0).inner_text()
    assert 'your file “后 <b>&.png”, saved here' in zones.nth(1).inner_text()
    answered(opened)
    opened.click('.rscc-files + details summary')
    told = opened.inner_text('#rscc-answer-pair')
    assert "--img-from '影像（1）.png' --img-to '后 _b_.png'" in told
    assert 'Your file “后 <b>&.png” is saved here as “后 _b_.png”: give it that name' in told


def begin_endless_run(opened, address, pair, monkeypatch):
    """Start a run that goes on until it is stopped, and wait until the page tells of it."""
    def endless(name, images, asked, folder, job):
        job.stage('stage_answering', 100)
        while True:
            time.sleep(0.05)
            job.advance(0)
    monkeypatch.setattr(address[1].page._models, 'answer', endless)
    give(opened, pair)
    opened.click('#rscc-run-pair')
    opened.wait_for_selector('text=0 of 100 windows')


def test_a_run_is_told_in_the_language_that_the_page_has_by_then(opened, address, pair,
                                                                 monkeypatch):
    begin_endless_run(opened, address, pair, monkeypatch)
    opened.click('#rscc-language label:nth-child(2)')
    opened.wait_for_selector('text=第 0 / 100 个窗口')
    opened.click('#rscc-stop-pair')
    opened.wait_for_selector('text=已停止')


def test_a_closed_tab_ends_its_run(opened, address, pair, monkeypatch):
    models = address[1].page._models
    begun, ended = threading.Event(), threading.Event()

    def endless(name, images, asked, folder, job):
        begun.set()
        try:
            while True:
                time.sleep(0.05)
                job.advance(0)
        finally:
            ended.set()
    monkeypatch.setattr(models, 'answer', endless)
    give(opened, pair)
    opened.click('#rscc-run-pair')
    assert begun.wait(60)
    assert not ended.is_set()
    opened.close()
    assert ended.wait(60)


def test_a_run_can_be_stopped(opened, address, pair, monkeypatch):
    begin_endless_run(opened, address, pair, monkeypatch)
    opened.click('#rscc-stop-pair')
    opened.wait_for_selector('text=Stopped.')
    assert opened.is_enabled('#rscc-run-pair')


def test_nothing_is_described_before_its_images_have_arrived(opened, pair, monkeypatch):
    from rscc.demo.examples import Examples
    from rscc.demo.server import Uploads
    free, receive, files = threading.Event(), Uploads.receive, Examples.files

    async def slow(self, request):
        token = await receive(self, request)
        while not free.is_set():
            await asyncio.sleep(0.05)
        return token

    async def full(self, request):
        raise OSError

    def cannot_be_run():
        assert not opened.is_enabled('#rscc-run-pair')
        opened.evaluate("document.querySelector('#rscc-run-pair').disabled = false")
        opened.focus('#rscc-run-pair')
        opened.keyboard.press('Enter')
        opened.wait_for_timeout(1000)
        assert opened.locator('#rscc-message-pair .card').count() == 0
        assert not opened.is_visible('#rscc-stop-pair')

    def arrived():
        opened.wait_for_function("!document.querySelector('#rscc-run-pair').disabled")
        return zone.locator('.name').all_inner_texts()

    zone = opened.locator('#rscc-zones-pair .rscc-zone')
    given = [zone.nth(number).locator('input') for number in range(2)]
    for place, path in zip(given, pair, strict=True):  # both at once
        place.set_input_files(path)
    assert arrived() == ['before.png', 'after.png']

    monkeypatch.setattr(Uploads, 'receive', slow)
    given[0].set_input_files(pair[1])
    cannot_be_run()
    free.set()
    given[0].set_input_files(pair[0])  # in place of what is still on its way
    given[1].set_input_files(pair[0])
    opened.wait_for_function("document.querySelectorAll('.rscc-zone .name')[1].innerText"
                             " === 'before.png'")
    assert arrived() == ['before.png', 'before.png']

    free.clear()
    monkeypatch.setattr(Examples, 'files', lambda self, name: free.wait(60) and files(self, name))
    opened.click('[data-example=naip]')
    assert 'on its way' in zone.first.inner_text()
    cannot_be_run()
    free.set()
    opened.wait_for_selector('text=2010.png')
    assert arrived() == ['2010.png', '2014.png']

    monkeypatch.setattr(Uploads, 'receive', full)
    given[0].set_input_files(pair[0])
    opened.wait_for_selector('text=no room for further files')
    assert arrived() == ['2010.png', '2014.png']
