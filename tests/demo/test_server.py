"""The server, asked as browsers and others ask; no model is needed."""
import io
import json
import os
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
from hostile_files import png
from PIL import Image

from rscc.demo.answers import Answer
from rscc.demo.limits import Limits
from rscc.demo.words import Problem

pytest.importorskip('gradio', reason='the page needs the extra [demo]')
pytest.importorskip('httpx', reason='comes with gradio')
from starlette.testclient import TestClient

from rscc.demo.server import Server


class FakeModels:
    """Answers with a sentence, once it is let."""

    def __init__(self):
        self.asked, self.free = [], threading.Event()

    def of_task(self, task):
        return ['fake'] if task == 'pair' else []

    def languages(self, name):
        return ('en', 'zh')

    def answer(self, name, images, asked, folder, job):
        self.asked.append((name, [path.name for path in images], asked))
        while not self.free.wait(0.01):
            job.advance(0)
        return Answer('fake', tuple(path.name for path in images), tuple(images), None, (8, 8),
                      sentences=(('a house was built', -0.5),))


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    page = Server(FakeModels(), tmp_path_factory.mktemp('page'),
                  Limits(megabytes=0.05, megapixels=1, side=3000))
    yield page
    page.close()


@pytest.fixture
def client(server):
    with TestClient(server.app, base_url='http://localhost') as client:
        yield client


@pytest.fixture
def visitor(client):
    client.get('/')
    return client


def picture(color='red', size=(16, 12)):
    data = io.BytesIO()
    Image.new('RGB', size, color).save(data, 'PNG')
    return data.getvalue()


def upload(client, data, name='a.png', **headers):
    return client.post('/rscc/upload', content=data, headers={'X-File-Name': name, **headers})


def known(server, client):
    return server.visitors.find(client.cookies['rscc_visitor'])


def test_the_page_sets_one_closed_cookie_and_loads_nothing_from_elsewhere(client):
    answer = client.get('/')
    assert answer.status_code == 200
    cookie = answer.headers['set-cookie']
    assert 'HttpOnly' in cookie
    assert 'SameSite=Strict' in cookie
    assert "default-src 'self'" in answer.headers['content-security-policy']
    assert 'fonts.googleapis' not in answer.text
    assert 'cdn' not in answer.text.lower()
    assert 'set-cookie' not in client.get('/').headers


@pytest.mark.parametrize('path', [
    '/gradio_api/file=/etc/passwd', '/gradio_api/file/etc/passwd', '/file=/etc/passwd',
    '/gradio_api/proxy=http://localhost/', '/gradio_api/upload', '/gradio_api/deep_link',
    '/monitoring', '/gradio_api/vibe-code/', '/gradio_api/runs', '/docs', '/openapi.json',
    '/gradio_api/call/run', '/gradio_api/run/predict', '/login', '/gradio_api/openapi.json',
    '/rscc/file/x/../../etc/passwd', '/rscc', '/rscc/uploads', '/../etc/passwd'])
def test_what_the_page_does_not_need_does_not_exist(visitor, path):
    for answer in (visitor.get(path), visitor.post(path, content=b'')):
        assert answer.status_code in (403, 404, 405)
        assert 'root:' not in answer.text


@pytest.mark.parametrize('path', ['/config', '/gradio_api/queue/data?session_hash=x',
                                  '/gradio_api/info', '/rscc/file/token/a.png'])
def test_who_has_no_cookie_gets_nothing(client, path):
    answer = client.get(path)
    assert answer.status_code == 403
    assert 'Load the page again' in answer.json()['problem']


def test_no_message_makes_the_framework_read_a_file(server, visitor, tmp_path):
    secret = tmp_path / 'secret.txt'
    secret.write_text('nobody reads this')
    kept = Path(os.environ['GRADIO_TEMP_DIR'])
    for number in server.app._inputs:
        for path in (str(secret), 'http://localhost:1/x.png'):
            file = {'path': path, 'url': path, 'meta': {'_type': 'gradio.FileData'}}
            for data in ([file], [[file]], [{'a': file}]):
                answer = visitor.post('/gradio_api/queue/join', json=dict(
                    data=data, fn_index=number, session_hash='page', event_data=None))
                assert answer.status_code == 403
                assert answer.json()['problem'].startswith('The page was sent something')
                assert str(secret) not in answer.text
    assert not [path for path in kept.rglob('*') if 'secret' in path.name or 'x.png' in path.name]


def test_the_framework_answers_what_the_page_sends(server, visitor):
    function, = (number for number, kinds in server.app._inputs.items() if len(kinds) == 9)
    asked = dict(data=['en', 'fake', 'zh', 3, '', '', False, False, False], fn_index=function,
                 session_hash='page', event_data=None, trigger_id=None)
    assert visitor.post('/gradio_api/queue/join', json=asked).json()['event_id']
    with visitor.stream('GET', '/gradio_api/queue/data?session_hash=page') as answer:
        told = next(line for line in answer.iter_lines() if 'process_completed' in line)
    assert 'The earlier image is missing' in told


def test_a_thousand_strangers_do_no_harm(server, visitor):
    token = upload(visitor, picture()).json()['token']
    with TestClient(server.app, base_url='http://localhost') as crowd:
        for number in range(1000):
            crowd.cookies.clear()
            assert crowd.post('/gradio_api/queue/join', json={}).status_code == 403
            assert crowd.get(f'/rscc/file/{number}/a.png').status_code == 403
    assert known(server, visitor).file(token)
    assert visitor.get('/').status_code == 200


def test_an_image_is_taken_and_given_back_to_its_owner_alone(server, visitor):
    answer = upload(visitor, picture(), '..%2F..%2Fmy%20house.png')
    assert answer.status_code == 200
    stored = known(server, visitor).file(answer.json()['token'])
    assert stored.name == 'my house.png'
    assert (stored.facts['width'], stored.facts['height']) == (16, 12)
    assert stored.path.parent.parent.parent == server.visitors.root
    shown = visitor.get('/' + stored.facts['picture'])
    assert np.asarray(Image.open(io.BytesIO(shown.content))).shape == (12, 16, 3)
    assert shown.headers['cache-control'] == 'private, no-store'
    with TestClient(server.app, base_url='http://localhost') as other:
        assert other.get('/' + stored.facts['picture']).status_code == 403
        other.get('/')
        assert other.get('/' + stored.facts['picture']).status_code == 404


@pytest.mark.parametrize(('data', 'told'), [
    (b'', 'is empty'), (b'no image at all', 'is no image'), (png(100_000, 100_000), 'at most 3000'),
    (png(2000, 2000), 'at most 1 were expected'), (bytes(60_000), 'at most 0.05 MB')])
def test_other_files_are_refused_with_a_sentence_and_leave_nothing(server, visitor, data, told):
    before = sorted(server.visitors.root.rglob('*arriving*'))
    answer = upload(visitor, data)
    assert answer.status_code == 400
    assert told in answer.json()['problem']
    assert sorted(server.visitors.root.rglob('*arriving*')) == before
    assert answer.json()['problems']['en'] == answer.json()['problem']
    assert re.search('[\u4e00-\u9fff]', answer.json()['problems']['zh'])
    visitor.cookies['rscc_language'] = 'zh'
    assert '最多' in upload(visitor, bytes(60_000)).json()['problem']


def test_the_page_knows_the_name_that_a_file_had(server, visitor):
    for sent, name, changed in (('后 <b>.png', '后 _b_.png', '后 <b>.png'),
                                ('b.png', 'b.png', None)):
        token = upload(visitor, picture(), quote(sent)).json()['token']
        stored = known(server, visitor).file(token)
        assert (stored.name, stored.facts['sent']) == (name, changed)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'BMP', 'WEBP', 'GIF', 'TIFF'])
@pytest.mark.parametrize('share', [0.3, 0.6, 0.95])
def test_half_an_image_is_no_image(server, visitor, kind, share):
    data = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    Image.fromarray(pixels).save(data, kind)
    whole = data.getvalue()
    assert upload(visitor, whole, f'a.{kind}').status_code == 200
    answer = upload(visitor, whole[:int(share * len(whole))], f'a.{kind}')
    assert answer.status_code == 400
    assert f"'a.{kind}' is" in answer.json()['problem']
    assert str(server.visitors.root) not in answer.text


def test_a_geotiff_that_was_cut_off_is_told(server, visitor, tmp_path):
    pytest.importorskip('rasterio')
    from scene_files import texture, write_raster
    path = write_raster(tmp_path / 'a.tif', texture(100, 100), tiled=True, blockxsize=64,
                        blockysize=64)
    data = path.read_bytes()
    assert upload(visitor, data, 'a.tif').status_code == 200
    told = upload(visitor, data[:-2000], 'a.tif').json()['problem']
    assert told.startswith(f"'a.tif' is truncated: of at least {len(data):,} bytes it holds")
    sparse = write_raster(tmp_path / 'b.tif', texture(100, 100) * 0, tiled=True, blockxsize=64,
                          blockysize=64, SPARSE_OK=True)
    assert upload(visitor, sparse.read_bytes(), 'b.tif').status_code == 200


def test_an_image_with_an_alpha_channel_is_shown_and_says_so(server, visitor):
    from rscc.demo.page import PAIR
    from rscc.demo.words import Words
    data = io.BytesIO()
    Image.new('RGBA', (16, 12), (200, 10, 10, 90)).save(data, 'PNG')
    token = upload(visitor, data.getvalue(), 'a.png').json()['token']
    stored = known(server, visitor).file(token)
    shown = visitor.get('/' + stored.facts['picture']).content
    assert np.asarray(Image.open(io.BytesIO(shown)))[0, 0].tolist() == [200, 10, 10]
    tab = known(server, visitor).tab('page')
    server.page._place(PAIR, known(server, visitor), tab, {'from': token})
    for language, told in (('en', 'alpha channel is left out'), ('zh', '不使用 alpha 通道')):
        zones = server.page._zones(PAIR, Words(language), known(server, visitor), tab)
        assert zones.count(told) == 1


def test_a_body_without_a_length_is_not_read(visitor):
    def endless():
        while True:
            yield bytes(1000)
            raise AssertionError('it was read')
    answer = visitor.post('/rscc/upload', content=endless())
    assert answer.status_code == 400
    assert 'how long the file is' in answer.json()['problem']


# ---- what happens on the page, without a browser -------------------------------------------------


def request(client, page='page'):
    cookie = f"rscc_visitor={client.cookies.get('rscc_visitor')}"
    return SimpleNamespace(session_hash=page, headers={'accept-language': 'zh-CN',
                                                       'cookie': cookie})


async def collect(updates, stop=None):
    found = []
    async for update in updates:
        found.append(update)
        if stop is not None:
            stop(len(found))
    return found


def run(server, client, wanted=None, stop=None):
    import asyncio

    from rscc.demo.page import PAIR
    from rscc.demo.wishes import Asked
    return asyncio.run(collect(server.page._run(
        PAIR, 'en', 'fake', lambda: wanted or Asked(), request(client)), stop))


@pytest.fixture
def models(server):
    fake = server.page._models
    fake.asked.clear()
    fake.free.set()
    return fake


def place(server, client):
    from rscc.demo.page import PAIR
    visitor = known(server, client)
    tab = visitor.tab('page')
    for date, name in (('from', 'a.png'), ('to', 'b.png')):
        server.page._place(PAIR, visitor, tab, {date: upload(client, picture(), name).json()[
            'token']})
    return tab


def test_a_run_without_images_says_which_is_missing(server, visitor, models):
    (message, _, _, _), = run(server, visitor)
    assert 'The earlier image is missing' in message
    assert models.asked == []


def test_a_run_is_told_about_and_then_shown(server, visitor, models):
    place(server, visitor)
    *before, (message, answer, _, _) = run(server, visitor)
    assert 'progress' in before[0][0]
    assert message == ''
    assert 'a house was built' in answer
    assert models.asked[0][:2] == ('fake', ['a.png', 'b.png'])


def test_stopping_a_run_stops_the_work(server, visitor, models):
    tab = place(server, visitor)
    models.free.clear()
    *_, (message, _, _, _) = run(server, visitor, stop=lambda count: (
        tab.jobs['pair'].cancel() if count == 2 else None))
    assert 'Stopped' in message
    assert tab.jobs['pair'].state == 'stopped'


def test_stopping_is_told_at_once_though_a_step_takes_long(server, visitor, models, monkeypatch):
    free, begun = threading.Event(), threading.Event()

    def deaf(*_):
        begun.set()
        free.wait(60)
    monkeypatch.setattr(models, 'answer', deaf)
    tab = place(server, visitor)

    def stop(count):
        assert begun.wait(60)
        tab.jobs['pair'].cancel()
    *_, (message, _, _, _) = run(server, visitor, stop=stop)
    assert 'Stopped' in message
    assert not tab.jobs['pair'].finished
    free.set()


def test_other_images_end_the_run_on_the_earlier_ones(server, visitor, models):
    tab = place(server, visitor)
    models.free.clear()
    *_, (message, _, _, _) = run(server, visitor, stop=lambda count: (
        place(server, visitor) if count == 2 else None))
    assert 'Stopped' in message
    assert tab.answers == {}


def test_closing_the_page_stops_the_work(server, visitor, models):
    tab = place(server, visitor)
    models.free.clear()
    run(server, visitor, stop=lambda count: (
        server.page._leave(request(visitor)) if count == 2 else None))
    assert tab.jobs['pair'].state == 'stopped'


def test_two_visitors_at_once_get_their_own_answers(server, visitor, models):
    place(server, visitor)
    with TestClient(server.app, base_url='http://localhost') as other:
        other.get('/')
        theirs = place(server, other)
        mine = run(server, visitor)[-1][1]
        assert theirs.answers == {}
        assert 'a house was built' in run(server, other)[-1][1]
    addresses = [part.split('"')[0] for part in mine.split('src="')[1:]]
    assert addresses
    assert all(visitor.get('/' + address).status_code == 200 for address in addresses)


def test_nobody_places_the_file_of_another(server, visitor, models):
    from rscc.demo.page import PAIR
    token = upload(visitor, picture()).json()['token']
    with TestClient(server.app, base_url='http://localhost') as other:
        other.get('/')
        thief = known(server, other)
        with pytest.raises(Problem, match='not yours'):
            server.page._place(PAIR, thief, thief.tab('page'), {'from': token})
    with pytest.raises(Problem):
        server.page._place(PAIR, known(server, visitor), known(server, visitor).tab('page'),
                           {'elsewhere': token})


def test_a_model_that_is_not_offered_is_not_loaded(server, visitor, models):
    from rscc.demo.page import PAIR
    tab = place(server, visitor)
    with pytest.raises(Problem, match='no model'):
        server.page._start(PAIR, known(server, visitor), tab, '/etc/passwd', None)


def test_the_page_is_described_without_paths_of_this_machine(server, visitor):
    config = visitor.get('/config').text
    assert str(server.visitors.root) not in config
    assert json.loads(config)['analytics_enabled'] is False
