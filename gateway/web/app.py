"""The web face: a child process that shows the ledger and hands what people press to the core.

It reads `ledger.db` and `telemetry.db` and never writes: a fault here never touches counting.
"""

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.config import Settings
from gateway.web.face import Face
from gateway.web.guard import Guard, is_loopback
from gateway.web.port import listen
from gateway.web.routes import actions, care, counter, demo, files, setup, shop

STOP_WITHIN_S = 1
PAGE_THREADS = 2  # for pages that may take a while in a big shop; each has its own connections


def main(settings: Settings, bus_address: str, hint_address: str, demo_address: str = "") -> None:
    """Serve the pages until SIGTERM. The entry of the supervisor's child process.

    Only loopback is served: a page on the shop's network wants a login and HTTPS, which come with the
    part that brings owners. Raises OSError when no port near the wanted one is free.
    """
    host = settings.web.host if is_loopback(settings.web.host) else "127.0.0.1"
    if settings.web.lan or host != settings.web.host:
        print("web: pages are for this box only (127.0.0.1) until there is a login", file=sys.stderr)
    listening, note = listen(host, settings.web.port)
    port = listening.getsockname()[1]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"web: {note + '; ' if note else ''}{address}", file=sys.stderr, flush=True)
    write_address(settings, address)
    server = Server(build(settings, bus_address, hint_address, demo_address))
    server.run(sockets=[listening])


def write_address(settings: Settings, address: str) -> None:
    """Leave the address where `storekeeper demo` and `doctor` find it, since the port may be another one."""
    path = settings.ledger.data_dir / "web.address"
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(f"{address}\n")
        fresh.replace(path)
    except OSError as error:
        print(f"web: {path} not written ({error}); the address above holds", file=sys.stderr)


def build(settings: Settings, bus_address: str, hint_address: str, demo_address: str = "") -> Starlette:
    """The application around one `Face`."""
    face = Face(settings, bus_address, hint_address, demo_address)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = PAGE_THREADS
        tasks = [asyncio.create_task(face.hub.listen()), asyncio.create_task(face.hub.look())]
        yield
        await face.seat.stop()
        for task in tasks:
            task.cancel()
        face.close()

    modules = (counter, shop, care, setup, actions, files, *([demo] if demo_address else []))
    app = Starlette(
        routes=[route for module in modules for route in module.routes],
        middleware=[Middleware(Guard), Middleware(GZipMiddleware, minimum_size=800, compresslevel=6)],
        exception_handlers={sqlite3.Error: no_ledger, actions.BadForm: bad_form, HTTPException: missing},
        lifespan=lifespan,
    )
    app.state.face = face
    return app


async def no_ledger(request: Request, error: Exception) -> Response:
    """The ledger cannot be read just now: said plainly, with the page asking again by itself."""
    face = Face.of(request)
    face.forget()
    return Response(
        face.reader(request).html("no_ledger.html", error=str(error)), 503, media_type="text/html"
    )


async def bad_form(request: Request, error: Exception) -> Response:
    if request.headers.get("accept", "").startswith("application/json"):
        return JSONResponse({"code": "refused", "text": str(error), "about": ""}, 400)
    return Response(f"{error}\n", 400, media_type="text/plain")


async def missing(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status != 404:
        return Response(f"{error}\n", status, media_type="text/plain")
    return Face.of(request).reader(request).page("missing.html", 404, what=request.url.path)


class Server(uvicorn.Server):
    """uvicorn without its ten ticks a second: nothing runs while nobody looks."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="on",
                log_level="warning",
                access_log=False,
                date_header=False,
                server_header=False,
                timeout_graceful_shutdown=STOP_WITHIN_S,
                timeout_keep_alive=60,
            )
        )
        self._app = app
        self._told_to_stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._told_to_stop.wait()
        await self._app.state.face.hub.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told_to_stop.set)

    def run(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the daemon, and that stops its children
        super().run(sockets)  # type: ignore[arg-type]
