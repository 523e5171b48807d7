"""The server of the web page: uploads, downloads, examples, and its end.

All of it stands behind the gate, see :mod:`rscc.demo.gate`.
"""
import asyncio
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rscc.demo.answers import Models, preview
from rscc.demo.cookies import cookie_of, refusal_of
from rscc.demo.examples import Examples
from rscc.demo.gate import Gate
from rscc.demo.jobs import Jobs
from rscc.demo.limits import Limits, check_image, check_size, clean_name, name_sent, not_readable
from rscc.demo.messages import inputs_of
from rscc.demo.visitors import Visitor, Visitors, address, page_folder
from rscc.demo.words import TEMPLATES, Problem
from rscc.rasters.headers import UnreadableImage
from rscc.utils import require

_CLEAN_EVERY = 60.0  # seconds
_CONNECTIONS, _DECODING = 400, 2
_PICTURES = ('.png', '.webp', '.jpg', '.jpeg')


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
        sent = unquote(request.headers.get('x-file-name', ''), errors='replace')
        shown = clean_name(sent)
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
                                              shown, sent)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            room.__exit__(None, None, None)

    async def _write(self, request: Any, path: Path, length: int) -> None:
        received = 0
        with path.open('wb') as file:
            try:
                async for chunk in request.stream():
                    received += len(chunk)
                    if received > length:
                        break
                    file.write(chunk)
            except require('starlette.requests', 'the web page').ClientDisconnect:
                pass  # told below, to nobody: the browser has left
        if received != length:
            raise Problem('broken_upload', found=received, size=length)

    def copy(self, visitor: Visitor, source: Path) -> str:
        """Give a visitor a copy of an example and return its token."""
        path = visitor.make_folder() / 'arriving'
        shutil.copyfile(source, path)
        return self._take(visitor, path, source.name, source.name)

    def _take(self, visitor: Visitor, path: Path, name: str, sent: str) -> str:
        """Look at a file that has arrived, draw a small picture of it, and keep both."""
        header = check_image(path, name, self._limits)
        path = path.rename(path.with_name(clean_name(name, header.kind)))
        try:
            with self._decoding:
                picture, without = preview(path, visitor.make_folder() / 'preview.png')
        except UnreadableImage as error:
            raise not_readable(error, path, name) from error
        shown = None if picture is None else address(visitor.keep(picture, picture.name),
                                                     picture.name)
        return visitor.keep(path, path.name, width=header.width, height=header.height,
                            picture=shown, without=without, alpha=header.alpha, upload=True,
                            sent=name_sent(sent, path.name))


def add_routes(app: Any, visitors: Visitors, uploads: Uploads, examples: Examples) -> None:
    """Add the page's own addresses to a FastAPI application."""
    responses = require('starlette.responses', 'the web page')

    async def upload(request: Any) -> Any:
        try:
            return responses.JSONResponse({'token': await uploads.receive(request)})
        except Problem as problem:
            return responses.JSONResponse(refusal_of(problem, request.headers), 400)
        except OSError:
            return responses.JSONResponse(refusal_of(Problem('no_room'), request.headers), 507)

    def gone(request: Any, problem: Problem) -> Any:
        return responses.JSONResponse(refusal_of(problem, request.headers), 404)

    async def download(request: Any) -> Any:
        try:
            stored = visitors.find(cookie_of(request.headers)).file(request.path_params['token'])
        except Problem as problem:
            return gone(request, problem)
        picture = stored.path.suffix.lower() in _PICTURES
        return responses.FileResponse(
            stored.path, filename=stored.name, headers={'cache-control': 'private, no-store'},
            content_disposition_type='inline' if picture else 'attachment')

    async def example(request: Any) -> Any:
        try:
            files = await asyncio.get_running_loop().run_in_executor(
                None, examples.files, request.path_params['name'])
        except Problem as problem:
            return gone(request, problem)
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
        blocks = self.page.build()
        gradio.mount_gradio_app(app, blocks, path='/', ssr_mode=False, pwa=False,
                                show_error=False, footer_links=[], run_history=False,
                                enable_monitoring=False, mcp_server=False, max_file_size=1,
                                **look())
        self.app = Gate(app, self.visitors, inputs_of(blocks.get_config_file()))
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
