"""The server of the web page: the gate before it, uploads, downloads, and its end.

Everything passes the gate: only the addresses that the page needs exist, who comes gets a cookie,
and browsers are told to load nothing from anywhere else.
"""
import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from rscc.demo.answers import Models, preview
from rscc.demo.examples import Examples
from rscc.demo.jobs import Jobs
from rscc.demo.limits import Limits, check_image, check_size, clean_name
from rscc.demo.visitors import COOKIE, Visitor, Visitors, address, page_folder
from rscc.demo.words import LANGUAGES, TEMPLATES, Problem
from rscc.utils import require

#: Beginnings of the addresses that exist; the framework has many more, which nobody needs here.
_STATIC = ('/assets/', '/static/', '/theme.css', '/favicon.ico', '/manifest.json', '/robots.txt',
           '/svelte/', '/rscc/page.js', '/rscc/example/', '/gradio_api/startup-events',
           '/gradio_api/app_id')
_OWN = ('/config', '/gradio_api/queue/', '/gradio_api/heartbeat/', '/gradio_api/cancel',
        '/gradio_api/reset', '/gradio_api/info', '/rscc/upload', '/rscc/file/')
_POLICY = ("default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' "
           "'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src "
           "'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action "
           "'self'; frame-ancestors 'none'")
_HEADERS = {'content-security-policy': _POLICY, 'x-content-type-options': 'nosniff',
            'referrer-policy': 'no-referrer', 'cross-origin-resource-policy': 'same-origin'}
_LARGEST_MESSAGE = 200_000  # bytes of a request that is no upload
_CLEAN_EVERY = 60.0  # seconds
_CONNECTIONS, _DECODING = 400, 2
_PICTURES = ('.png', '.webp', '.jpg', '.jpeg')


def cookie_of(headers: Mapping[str, str]) -> str | None:
    """Return the visitor's cookie of a request."""
    try:
        found = SimpleCookie(headers.get('cookie', '')).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


class Gate:
    """ASGI application in front of the web page: lets known requests pass, refuses others.

    Args:
        app: The page.
        visitors: Who is known.
    """

    def __init__(self, app: Callable, visitors: Visitors) -> None:
        self._app, self._visitors = app, visitors
        self._listeners: dict[str, str] = {}  # name of an open page -> cookie of who opened it

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Let a request pass, or answer it here."""
        if scope['type'] != 'http':
            if scope['type'] == 'lifespan':
                await self._app(scope, receive, send)
            return
        headers = {name.decode('latin-1').lower(): value.decode('latin-1')
                   for name, value in scope['headers']}
        path, cookie = scope['path'], cookie_of(headers)
        try:
            fresh = self._check(scope, path, cookie, headers)
        except Problem as problem:
            status = 404 if problem.name == 'file_gone' else 403
            await _refuse(send, status, problem.told('en'))
            return
        if path != '/rscc/upload':
            receive = _bounded(receive)
        await self._app(scope, receive, _marked(send, fresh))

    def _check(self, scope: dict, path: str, cookie: str | None, headers: Mapping[str, str]
               ) -> Visitor | None:
        """Return a visitor who is new; raise for what does not exist, or not for this visitor."""
        if path == '/' and scope['method'] in ('GET', 'HEAD'):
            visitor = self._visitors.enter(cookie)
            return visitor if visitor.key != cookie else None
        if any(path == place or (path.startswith(place) and place[-1] == '/')
               for place in _STATIC):
            return None
        if not any(path == place or (path.startswith(place) and place[-1] == '/')
                   for place in _OWN):
            raise Problem('file_gone')
        self._visitors.find(cookie)
        length = headers.get('content-length', '0')
        if path != '/rscc/upload' and (not length.isdigit() or int(length) > _LARGEST_MESSAGE):
            raise Problem('unknown_length')
        self._check_listener(path, cookie or '', scope.get('query_string', b''))
        return None

    def _check_listener(self, path: str, cookie: str, query: bytes) -> None:
        """Give the messages for an open page only to who opened it."""
        name = None
        if path == '/gradio_api/queue/data':
            name = (parse_qs(query.decode('latin-1')).get('session_hash') or [''])[0]
        elif path.startswith('/gradio_api/heartbeat/'):
            name = path.rsplit('/', 1)[-1]
        if name is None:
            return
        if self._listeners.setdefault(name[:100], cookie) != cookie:
            raise Problem('unknown_visitor')
        while len(self._listeners) > 20 * self._visitors.limits.visitors:
            del self._listeners[next(iter(self._listeners))]


async def _refuse(send: Callable, status: int, text: str) -> None:
    body = json.dumps({'problem': text, 'detail': text}).encode()
    await send({'type': 'http.response.start', 'status': status, 'headers': [
        (b'content-type', b'application/json'), (b'content-length', str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in _HEADERS.items())]})
    await send({'type': 'http.response.body', 'body': body})


def _bounded(receive: Callable[[], Awaitable[dict]]) -> Callable[[], Awaitable[dict]]:
    """Cut off a request whose body turns out longer than the page ever sends."""
    seen = 0

    async def counted() -> dict:
        nonlocal seen
        message = await receive()
        if message['type'] == 'http.request':
            seen += len(message.get('body', b''))
            if seen > _LARGEST_MESSAGE:
                return {'type': 'http.disconnect'}
        return message

    return counted


def _marked(send: Callable[[dict], Awaitable[None]], fresh: Visitor | None
            ) -> Callable[[dict], Awaitable[None]]:
    """Add the headers that keep browsers from loading anything from elsewhere, and the cookie."""
    async def marked(message: dict) -> None:
        if message['type'] == 'http.response.start':
            headers = [(name, value) for name, value in message.get('headers', [])
                       if name.decode('latin-1').lower() not in _HEADERS]
            headers += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            if fresh is not None:
                headers.append((b'set-cookie', f'{COOKIE}={fresh.key}; Path=/; HttpOnly; '
                                'SameSite=Strict'.encode()))
            message = {**message, 'headers': headers}
        await send(message)

    return marked


class Uploads:
    """Takes images of visitors: as bytes from a browser, or as an example.

    Args:
        visitors: Who is known.
        limits: What is accepted.
    """

    def __init__(self, visitors: Visitors, limits: Limits) -> None:
        self._visitors, self._limits = visitors, limits
        self._decoding = threading.Semaphore(_DECODING)

    async def receive(self, request: Any) -> str:
        """Write the body of a request to a file, look at it, and return its token.

        Raises:
            Problem: If it is refused; nothing is kept of it.
        """
        visitor = self._visitors.find(cookie_of(request.headers))
        shown = clean_name(unquote(request.headers.get('x-file-name', ''), errors='replace'))
        length = request.headers.get('content-length', '')
        if not length.isdigit():
            raise Problem('unknown_length')
        check_size(int(length), shown, self._limits)
        loop = asyncio.get_running_loop()
        room = self._visitors.room(visitor, int(length))
        await loop.run_in_executor(None, room.__enter__)
        folder = visitor.make_folder()
        try:
            await self._write(request, folder / 'arriving', int(length))
            return await loop.run_in_executor(None, self._take, visitor, folder / 'arriving',
                                              shown)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            room.__exit__(None, None, None)

    async def _write(self, request: Any, path: Path, length: int) -> None:
        received = 0
        with path.open('wb') as file:
            async for chunk in request.stream():
                received += len(chunk)
                if received > length:
                    break
                file.write(chunk)
        if received != length:
            raise Problem('broken_upload', found=received, size=length)

    def copy(self, visitor: Visitor, source: Path) -> str:
        """Give a visitor a copy of an example and return its token."""
        path = visitor.make_folder() / 'arriving'
        shutil.copyfile(source, path)
        return self._take(visitor, path, source.name)

    def _take(self, visitor: Visitor, path: Path, name: str) -> str:
        """Look at a file that has arrived, draw a small picture of it, and keep both."""
        header = check_image(path, name, self._limits)
        path = path.rename(path.with_name(clean_name(name, header.kind)))
        with self._decoding:
            picture = preview(path, visitor.make_folder() / 'preview.png')
        shown = None if picture is None else address(visitor.keep(picture, picture.name),
                                                     picture.name)
        return visitor.keep(path, path.name, width=header.width, height=header.height,
                            picture=shown, upload=True)


def add_routes(app: Any, visitors: Visitors, uploads: Uploads, examples: Examples) -> None:
    """Add the page's own addresses to a FastAPI application."""
    responses = require('starlette.responses', 'the web page')

    async def upload(request: Any) -> Any:
        language = request.headers.get('x-language', 'en')
        language = language if language in LANGUAGES else 'en'
        try:
            return responses.JSONResponse({'token': await uploads.receive(request)})
        except Problem as problem:
            return responses.JSONResponse({'problem': problem.told(language)}, 400)
        except OSError:
            return responses.JSONResponse({'problem': Problem('no_room').told(language)}, 507)

    async def download(request: Any) -> Any:
        try:
            stored = visitors.find(cookie_of(request.headers)).file(request.path_params['token'])
        except Problem as problem:
            return responses.JSONResponse({'problem': problem.told('en')}, 404)
        picture = stored.path.suffix.lower() in _PICTURES
        return responses.FileResponse(
            stored.path, filename=stored.name, headers={'cache-control': 'private, no-store'},
            content_disposition_type='inline' if picture else 'attachment')

    async def example(request: Any) -> Any:
        try:
            files = await asyncio.get_running_loop().run_in_executor(
                None, examples.files, request.path_params['name'])
        except Problem as problem:
            return responses.JSONResponse({'problem': problem.told('en')}, 404)
        return responses.FileResponse(files[-1])

    async def script(request: Any) -> Any:
        return responses.FileResponse(TEMPLATES / 'page.js', media_type='text/javascript',
                                      headers={'cache-control': 'no-cache'})

    app.add_route('/rscc/upload', upload, methods=['POST'])
    app.add_route('/rscc/file/{token}/{name}', download, methods=['GET'])
    app.add_route('/rscc/example/{name}', example, methods=['GET'])
    app.add_route('/rscc/page.js', script, methods=['GET'])


class Server:
    """A page with its models, its visitors and its line of runs.

    Args:
        models: Loaded models; pairs are answered by those of pairs, single images by the others.
        folder: For the files of visitors; :func:`rscc.demo.visitors.page_folder` makes one.
        limits: What is accepted.

    Attributes:
        app: What a web server runs (ASGI).
    """

    def __init__(self, models: Models, folder: Path, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        # Read when the framework is imported and the page is made: nothing is reported to anybody.
        os.environ.update(GRADIO_ANALYTICS_ENABLED='False', GRADIO_TEMP_DIR=str(folder / 'gradio'),
                          GRADIO_SSR_MODE='False', HF_HUB_OFFLINE='1')
        gradio = require('gradio', 'the web page')
        fastapi = require('fastapi', 'the web page')
        from rscc.demo.page import Page, look  # needs the framework
        self.visitors, self.jobs = Visitors(folder / 'visitors', limits), Jobs(limits)
        self.visitors.root.mkdir(mode=0o700, exist_ok=True)
        examples, uploads = Examples(folder / 'examples'), Uploads(self.visitors, limits)
        self.page = Page(models, self.visitors, self.jobs, uploads, examples, limits)
        app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        add_routes(app, self.visitors, uploads, examples)
        gradio.mount_gradio_app(app, self.page.build(), path='/', ssr_mode=False, pwa=False,
                                show_error=False, footer_links=[], run_history=False,
                                enable_monitoring=False, mcp_server=False, max_file_size=1,
                                **look())
        self.app = Gate(app, self.visitors)
        self._ended = threading.Event()
        threading.Thread(target=self._clean, name='rscc-demo-clean', daemon=True).start()

    def _clean(self) -> None:
        while not self._ended.wait(_CLEAN_EVERY):
            self.visitors.clean()

    def close(self) -> None:
        """Stop every run and the cleaning."""
        self._ended.set()
        self.jobs.close()


def listen(host: str, port: int) -> socket.socket:
    """Take a port, before models are loaded in vain.

    Args:
        host: Name or address of this machine.
        port: 0 for a free one.

    Raises:
        OSError: If it is taken, or the host is none of this machine.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(f'port {port} of {host} cannot be used: {error.strerror or error}. Is '
                      'another page running? --port 0 takes a free one') from error


def serve(models: Models, listening: socket.socket, limits: Limits,
          ready: Callable[[str], object] = print) -> None:
    """Serve the page until it is interrupted; its files are deleted then.

    Args:
        models: Loaded models.
        listening: From :func:`listen`; closed in the end.
        limits: What is accepted.
        ready: Told the page's address once it can be opened.
    """
    uvicorn = require('uvicorn', 'the web page')
    host, port = listening.getsockname()[:2]
    with listening, page_folder() as folder:
        page = Server(models, folder, limits)
        server = uvicorn.Server(uvicorn.Config(
            page.app, log_level='warning', access_log=False, limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=10, timeout_graceful_shutdown=2))
        ready(f'http://[{host}]:{port}' if ':' in host else f'http://{host}:{port}')
        # uvicorn ends itself and then lets the signal act; by default that skips what follows.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            server.run([listening])
        finally:
            page.close()
