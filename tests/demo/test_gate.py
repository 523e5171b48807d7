"""The gate by itself, before an application that only notes what reaches it."""
import asyncio
import json

import pytest
from page_messages import FILE, GOOD, INPUTS, JOIN

from rscc.demo.gate import Gate
from rscc.demo.limits import Limits
from rscc.demo.messages import LARGEST
from rscc.demo.visitors import Visitors


class Behind:
    """Notes requests, and reads their bodies."""

    def __init__(self):
        self.requests = []

    async def __call__(self, scope, receive, send):
        body = await receive()
        self.requests.append((scope, body.get('body', b'')))
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        await send({'type': 'http.response.body', 'body': b'ok'})


@pytest.fixture
def behind():
    return Behind()


@pytest.fixture
def gate(behind, tmp_path):
    return Gate(behind, Visitors(tmp_path, Limits()), INPUTS)


def ask(gate, method, path, body=b'', query=b'', chunks=None, **headers):
    """Send a request, and return status, headers and body of the answer."""
    headers = {'host': 'localhost:7860', 'content-type': 'application/json', **{
        name.replace('_', '-'): value for name, value in headers.items()}}
    scope = dict(type='http', method=method, path=path, query_string=query, headers=[
        (name.encode(), value.encode()) for name, value in headers.items()])
    parts = list(chunks if chunks is not None else [body])
    sent = []

    async def receive():
        if not parts:
            return {'type': 'http.disconnect'}
        part = parts.pop(0)
        return {'type': 'http.request', 'body': part, 'more_body': bool(parts)}

    async def send(message):
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    if not sent:
        return None, {}, b''
    return (sent[0]['status'], dict(sent[0]['headers']),
            b''.join(message.get('body', b'') for message in sent[1:]))


@pytest.fixture
def cookie(gate):
    _, headers, _ = ask(gate, 'GET', '/')
    return headers[b'set-cookie'].decode().split(';')[0]


def test_what_reaches_the_page_is_what_was_compared(gate, behind, cookie):
    body = json.dumps({**GOOD, 'simple_format': True}).encode()
    status, _, _ = ask(gate, 'POST', JOIN, body, b'session_hash=other', cookie=cookie,
                       content_length=str(len(body)), content_encoding='gzip')
    assert status == 200
    scope, found = behind.requests[-1]
    assert json.loads(found) == GOOD
    assert scope['query_string'] == b''
    headers = dict(scope['headers'])
    assert headers[b'content-length'] == str(len(found)).encode()
    assert b'content-encoding' not in headers


def test_a_message_may_come_in_pieces(gate, behind, cookie):
    body = json.dumps(GOOD).encode()
    status, _, _ = ask(gate, 'POST', JOIN, chunks=[body[:9], b'', body[9:]], cookie=cookie,
                       transfer_encoding='chunked')
    assert status == 200
    assert json.loads(behind.requests[-1][1]) == GOOD
    assert b'transfer-encoding' not in dict(behind.requests[-1][0]['headers'])


@pytest.mark.parametrize('path', [JOIN, '/gradio_api/cancel', '/gradio_api/reset'])
@pytest.mark.parametrize('file', [FILE, {**FILE, 'path': 'C:\\x'}, {**FILE, 'url': 'http://x/y'}])
def test_files_named_in_a_message_are_refused_without_a_word_about_them(gate, behind, cookie, path,
                                                                        file):
    before = len(behind.requests)
    for message in ({**GOOD, 'data': [file] * 5}, {**GOOD, 'event_id': 'x', 'more': [file]},
                    {**GOOD, 'event_id': 'x', 'event_data': file, 'trigger_id': file}):
        status, _, told = ask(gate, 'POST', path, json.dumps(message).encode(), cookie=cookie)
        assert status == 403
        assert json.loads(told)['problem'].startswith('The page was sent something')
        assert not any(text.encode() in told for text in ('passwd', 'http:', 'C:'))
    assert len(behind.requests) == before


@pytest.mark.parametrize('path', ['/gradio_api/run/x', '/gradio_api/api/x', '/gradio_api/call/x',
                                  '/gradio_api/call/v2/x', '/gradio_api/upload',
                                  '/gradio_api/queue/join/', '/gradio_api/component_server',
                                  '/gradio_api/queue/status', '/gradio_api/process_recording',
                                  '/gradio_api/queue//join', '/GRADIO_API/queue/join', '/'])
def test_no_other_address_takes_a_message(gate, behind, cookie, path):
    before = len(behind.requests)
    status, _, _ = ask(gate, 'POST', path, json.dumps(GOOD).encode(), cookie=cookie)
    assert status == 404
    assert len(behind.requests) == before


@pytest.mark.parametrize('method', ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'GET'])
def test_messages_have_one_method(gate, behind, cookie, method):
    before = len(behind.requests)
    assert ask(gate, method, JOIN, json.dumps(GOOD).encode(), cookie=cookie)[0] == 404
    assert len(behind.requests) == before


@pytest.mark.parametrize('kind', ['multipart/form-data; boundary=x', 'text/plain', '',
                                  'application/x-www-form-urlencoded', 'application/jsonx'])
def test_messages_have_one_kind_of_content(gate, cookie, kind):
    assert ask(gate, 'POST', JOIN, json.dumps(GOOD).encode(), cookie=cookie,
               content_type=kind)[0] == 403


@pytest.mark.parametrize(('chunks', 'headers'), [
    ([bytes(LARGEST + 1)], {}), ([bytes(1000)] * 30, {}), ([b'{}'], dict(content_length='99999')),
    ([b'{}'], dict(content_length='-1')), ([b'{}'], dict(content_length='²'))])
def test_long_messages_are_refused(gate, cookie, chunks, headers):
    assert ask(gate, 'POST', JOIN, chunks=chunks, cookie=cookie, **headers)[0] == 403


def test_who_leaves_before_the_end_gets_no_answer(gate, cookie):
    async def leave():
        return {'type': 'http.disconnect'}
    sent = []

    async def send(message):
        sent.append(message)
    scope = dict(type='http', method='POST', path=JOIN, query_string=b'', headers=[
        (b'host', b'localhost:7860'), (b'cookie', cookie.encode()),
        (b'content-type', b'application/json')])
    asyncio.run(gate(scope, leave, send))
    assert sent == []


def test_what_is_read_has_neither_body_nor_query(gate, behind, cookie):
    ask(gate, 'GET', '/config', json.dumps(FILE).encode(), b'deep_link=../../etc', cookie=cookie)
    assert behind.requests[-1][0]['query_string'] == b''
    assert behind.requests[-1][1] == b''


def test_messages_of_a_page_go_only_to_who_opened_it(gate, behind, cookie):
    other = ask(gate, 'GET', '/')[1][b'set-cookie'].decode().split(';')[0]
    data, mine, theirs = '/gradio_api/queue/data', b'session_hash=mine', b'session_hash=theirs'
    assert ask(gate, 'GET', data, query=mine, cookie=cookie)[0] == 200
    assert ask(gate, 'GET', data, query=theirs, cookie=other)[0] == 200
    assert ask(gate, 'GET', data, query=theirs, cookie=cookie)[0] == 403
    assert ask(gate, 'GET', '/gradio_api/heartbeat/theirs', cookie=cookie)[0] == 403
    for path in (JOIN, '/gradio_api/cancel'):
        body = json.dumps({**GOOD, 'session_hash': 'theirs', 'event_id': 'x'}).encode()
        assert ask(gate, 'POST', path, body, cookie=cookie)[0] == 403
    # Of a name given twice the gate sees the one that the page is given.
    before = len(behind.requests)
    ask(gate, 'GET', data, query=mine + b'&' + theirs, cookie=cookie)
    assert all(scope['query_string'] == mine for scope, _ in behind.requests[before:])


def test_a_language_is_that_of_the_page(gate, cookie):
    _, _, told = ask(gate, 'POST', JOIN, b'x', cookie=f'{cookie}; rscc_language=zh')
    assert '页面收到了无法识别的内容' in json.loads(told)['problem']
    assert json.loads(told)['problems']['en'].startswith('The page was sent something')


def test_no_other_channel_is_opened(gate, behind):
    sent = []

    async def receive():
        return {'type': 'websocket.connect'}

    async def send(message):
        sent.append(message)
    asyncio.run(gate(dict(type='websocket', path='/', headers=[]), receive, send))
    assert [message['type'] for message in sent] == ['websocket.close']
    assert behind.requests == []


def test_a_refusal_of_the_framework_is_no_failure_of_the_server(gate, cookie):
    class NotFound(Exception):
        status_code = 404

    async def app(scope, receive, send):
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        raise RuntimeError('response already started') from NotFound()
    gate._app = app
    assert ask(gate, 'GET', '/gradio_api/queue/data', query=b'session_hash=x',
               cookie=cookie)[0] == 200

    async def broken(scope, receive, send):
        raise RuntimeError('a fault of the page')
    gate._app = broken
    with pytest.raises(RuntimeError, match='a fault'):
        ask(gate, 'GET', '/config', cookie=cookie)
