"""The gate before the web page: every request passes it, or is refused in a sentence.

Only the addresses that the page needs exist, each with its one method. Messages are compared with
those that the page sends (:mod:`rscc.demo.messages`) before the framework sees them, and what is
handed on is written here: neither the bytes of a body nor a query go through as they came. Who
comes gets a cookie, and browsers are told to load nothing from anywhere else.
"""
import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from rscc.demo.cookies import cookie_name, cookie_of, refusal_of
from rscc.demo.messages import LARGEST, Kind, checked, is_name
from rscc.demo.visitors import Visitor, Visitors
from rscc.demo.words import Problem

#: Addresses that are read; those ending in / are beginnings. The framework has many more, which
#: nobody needs here.
_STATIC = ('/assets/', '/static/', '/theme.css', '/favicon.ico', '/manifest.json', '/robots.txt',
           '/svelte/', '/rscc/page.js', '/rscc/example/', '/gradio_api/startup-events',
           '/gradio_api/app_id')
#: The same for visitors alone.
_OWN = ('/config', '/gradio_api/queue/data', '/gradio_api/heartbeat/', '/gradio_api/info',
        '/rscc/file/')
#: Addresses that take a message, and the one that takes images.
_MESSAGES = ('/gradio_api/queue/join', '/gradio_api/cancel', '/gradio_api/reset')
_UPLOAD = '/rscc/upload'
_POLICY = ("default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' "
           "'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src "
           "'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action "
           "'self'; frame-ancestors 'none'")
_HEADERS = {'content-security-policy': _POLICY, 'x-content-type-options': 'nosniff',
            'referrer-policy': 'no-referrer', 'cross-origin-resource-policy': 'same-origin'}
_SLOWEST = 20.0  # seconds in which a message has to arrive
_Receive = Callable[[], Awaitable[dict]]
_Send = Callable[[dict], Awaitable[None]]


class Gate:
    """ASGI application in front of the web page: lets known requests pass, refuses others.

    Args:
        app: The page.
        visitors: Who is known.
        inputs: What its functions take, see :func:`rscc.demo.messages.inputs_of`.
    """

    def __init__(self, app: Callable, visitors: Visitors,
                 inputs: Mapping[int, tuple[Kind, ...]]) -> None:
        self._app, self._visitors, self._inputs = app, visitors, inputs
        self._listeners: dict[str, str] = {}  # name of an open page -> cookie of who opened it

    async def __call__(self, scope: dict, receive: _Receive, send: _Send) -> None:
        """Let a request pass, or answer it here."""
        if scope['type'] == 'lifespan':
            await self._app(scope, receive, send)
        elif scope['type'] == 'http':
            await self._answer(scope, receive, send)
        elif scope['type'] == 'websocket':
            await receive()
            await send({'type': 'websocket.close', 'code': 1008})

    async def _answer(self, scope: dict, receive: _Receive, send: _Send) -> None:
        headers = {name.decode('latin-1').lower(): value.decode('latin-1')
                   for name, value in scope['headers']}
        try:
            fresh = self._check(scope, headers)
            scope, receive = await self._handed_on(scope, headers, receive)
        except Problem as problem:
            status = 404 if problem.name == 'file_gone' else 403
            await _refuse(send, status, refusal_of(problem, headers))
            return
        except ConnectionError:  # who sent it has left
            return
        name = cookie_name(headers.get('host'))
        cookie = None if fresh is None else f'{name}={fresh.key}; Path=/; HttpOnly; SameSite=Strict'
        await _quietly(self._app, scope, receive, _marked(send, cookie))

    def _check(self, scope: dict, headers: Mapping[str, str]) -> Visitor | None:
        """Return a visitor who is new; raise for what does not exist, or not for this visitor."""
        path, cookie = scope['path'], cookie_of(headers)
        reads = scope['method'] in ('GET', 'HEAD')
        if reads and path == '/':
            visitor = self._visitors.enter(cookie)
            return visitor if visitor.key != cookie else None
        if reads and _among(path, _STATIC):
            return None
        if not (_among(path, _OWN) if reads else scope['method'] == 'POST' and path in (
                *_MESSAGES, _UPLOAD)):
            raise Problem('file_gone')
        self._visitors.find(cookie)
        return None

    async def _handed_on(self, scope: dict, headers: Mapping[str, str], receive: _Receive
                         ) -> tuple[dict, _Receive]:
        """Return a request as the page gets it: with a body and a query that were compared."""
        path, cookie = scope['path'], cookie_of(headers) or ''
        if path == _UPLOAD:
            return dict(scope, query_string=b''), receive
        if path in _MESSAGES:
            body = await self._message(path, cookie, headers, receive)
            return _written(scope, b'', body), _replayed(receive, body)
        query = {}
        if path == '/gradio_api/queue/data':
            query = dict(parse_qsl(scope.get('query_string', b'').decode('latin-1')))
            query = {'session_hash': self._listener(query.get('session_hash'), cookie)}
        elif path.startswith('/gradio_api/heartbeat/'):
            self._listener(path.rsplit('/', 1)[-1], cookie)
        return _written(scope, urlencode(query).encode(), b''), _replayed(receive, b'')

    async def _message(self, path: str, cookie: str, headers: Mapping[str, str],
                       receive: _Receive) -> bytes:
        """Return a message of the page, written anew."""
        kind = headers.get('content-type', '').partition(';')[0].strip().lower()
        length = headers.get('content-length', '0')
        if kind != 'application/json' or not length.isdecimal() or int(length) > LARGEST:
            raise Problem('bad_message')
        try:
            body = await asyncio.wait_for(_read(receive), _SLOWEST)
        except asyncio.TimeoutError:
            raise Problem('bad_message') from None
        message = checked(path, body, self._inputs)
        if 'session_hash' in message:
            self._listener(message['session_hash'], cookie)
        return json.dumps(message).encode()

    def _listener(self, name: str | None, cookie: str) -> str:
        """Return the name of an open page, which belongs to who opened it."""
        if not is_name(name):
            raise Problem('bad_message')
        if self._listeners.setdefault(name, cookie) != cookie:
            raise Problem('unknown_visitor')
        while len(self._listeners) > 20 * self._visitors.limits.visitors:
            del self._listeners[next(iter(self._listeners))]
        return name


def _among(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or (place[-1] == '/' and path.startswith(place)) for place in places)


async def _read(receive: _Receive) -> bytes:
    """Return the body of a request, if it is no longer than a message."""
    body = b''
    while True:
        message = await receive()
        if message['type'] != 'http.request':
            raise ConnectionError
        body += message.get('body', b'')
        if len(body) > LARGEST:
            raise Problem('bad_message')
        if not message.get('more_body'):
            return body


def _written(scope: dict, query: bytes, body: bytes) -> dict:
    """Return a request that has this query, and whose headers tell of this body."""
    kept = [(name, value) for name, value in scope['headers'] if name.lower() not in (
        b'content-length', b'content-type', b'content-encoding', b'transfer-encoding')]
    own = [(b'content-type', b'application/json'), (b'content-length', str(len(body)).encode())]
    return dict(scope, query_string=query, headers=kept + (own if body else []))


def _replayed(receive: _Receive, body: bytes) -> _Receive:
    """Give a body that was read, or none, and then only word that the browser has left."""
    given = False

    async def replayed() -> dict:
        nonlocal given
        if not given:
            given = True
            return {'type': 'http.request', 'body': body, 'more_body': False}
        while (message := await receive())['type'] != 'http.disconnect':
            pass
        return message

    return replayed


async def _quietly(app: Callable, scope: dict, receive: _Receive, send: _Send) -> None:
    """Answer a request; that the framework ends an open page's messages is no error of the page."""
    try:
        await app(scope, receive, send)
    except RuntimeError as error:
        if getattr(error.__cause__, 'status_code', 500) >= 500:
            raise
        # It refuses after it has begun to answer, which it reports as a failure of the server.
        await send({'type': 'http.response.body', 'body': b'', 'more_body': False})


async def _refuse(send: _Send, status: int, told: Mapping[str, Any]) -> None:
    body = json.dumps({**told, 'detail': told['problem']}).encode()
    await send({'type': 'http.response.start', 'status': status, 'headers': [
        (b'content-type', b'application/json'), (b'content-length', str(len(body)).encode()),
        (b'connection', b'close'),  # the rest of a body is not waited for
        *((name.encode(), value.encode()) for name, value in _HEADERS.items())]})
    await send({'type': 'http.response.body', 'body': body})


def _marked(send: _Send, cookie: str | None) -> _Send:
    """Add the headers that keep browsers from loading anything from elsewhere, and the cookie."""
    async def marked(message: dict) -> None:
        if message['type'] == 'http.response.start':
            headers = [(name, value) for name, value in message.get('headers', [])
                       if name.decode('latin-1').lower() not in _HEADERS]
            headers += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            if cookie is not None:
                headers.append((b'set-cookie', cookie.encode()))
            message = {**message, 'headers': headers}
        await send(message)

    return marked
