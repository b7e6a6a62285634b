"""The web face: a child process that shows the ledger and hands what people press to the core.

It reads `ledger.db` and `telemetry.db` and never writes: a fault here never touches counting.
"""

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.config import Settings
from gateway.web.certificate import Certificate, NoCertificate, certificate, names_of_this_box
from gateway.web.face import Face, Lan
from gateway.web.guard import Guard, is_loopback
from gateway.web.port import listen
from gateway.web.routes import actions, care, counter, demo, files, phones, setup, shop

STOP_WITHIN_S = 1
CONNECTIONS_MAX = 100  # from the network; beyond that it is no shop
PAGE_THREADS = 2  # for pages that may take a while in a big shop; each has its own connections


def main(settings: Settings, bus_address: str, hint_address: str, demo_address: str = "") -> None:
    """Serve the pages until SIGTERM. The entry of the supervisor's child process.

    Plain HTTP for this box alone; HTTPS for the shop's network when the settings want it. What stands in its way
    is said, and stops nothing else. Raises OSError when no port near the wanted one is free.
    """
    host = settings.web.host if is_loopback(settings.web.host) else "127.0.0.1"
    listening, note = listen(host, settings.web.port)
    port = listening.getsockname()[1]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"web: {note + '; ' if note else ''}{address}", file=sys.stderr, flush=True)
    write_address(settings, address)
    names: tuple[str, ...] = ()
    lan: Certificate | None = None
    if settings.web.lan:
        names = tuple(names_of_this_box(settings.web.lan_host))
        try:
            lan = certificate(settings.ledger.data_dir / "tls", list(names))
            encrypted, note = listen(settings.web.lan_host, settings.web.lan_port)
        except (NoCertificate, OSError) as error:
            print(f"web: not for the shop's network: {error}", file=sys.stderr, flush=True)
            lan = None
    app = build(settings, bus_address, hint_address, demo_address, names)
    server = Server(app)
    if lan is None:
        server.run(sockets=[listening])
        return
    addresses = tuple(f"https://{name}:{encrypted.getsockname()[1]}" for name in reversed(names))
    app.state.face.lan = Lan(addresses, lan.fingerprint, lan.authority)
    print(f"web: {note + '; ' if note else ''}{' '.join(addresses)}", file=sys.stderr, flush=True)
    server.run_with(EncryptedServer(app, lan), [listening], [encrypted])


def write_address(settings: Settings, address: str) -> None:
    """Leave the address where `storekeeper demo` and `doctor` find it, since the port may be another one."""
    path = settings.ledger.data_dir / "web.address"
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(f"{address}\n")
        fresh.replace(path)
    except OSError as error:
        print(f"web: {path} not written ({error}); the address above holds", file=sys.stderr)


def build(
    settings: Settings,
    bus_address: str,
    hint_address: str,
    demo_address: str = "",
    names: tuple[str, ...] = (),
) -> Starlette:
    """The application around one `Face`. `names`: what the box is called in the shop's network."""
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

    modules = (counter, shop, care, phones, setup, actions, files, *([demo] if demo_address else []))
    app = Starlette(
        routes=[route for module in modules for route in module.routes],
        middleware=[
            Middleware(Guard, is_paired=face.pairing.knows, names=names),
            Middleware(GZipMiddleware, minimum_size=800, compresslevel=6),
        ],
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

    def __init__(self, app: Starlette, **more: Any) -> None:
        options = {
            "loop": "asyncio",
            "http": "h11",
            "ws": "none",
            "lifespan": "on",
            "log_level": "warning",
            "access_log": False,
            "date_header": False,
            "server_header": False,
            "proxy_headers": False,  # nobody stands before us: whoever says so lies
            "timeout_graceful_shutdown": STOP_WITHIN_S,
            "timeout_keep_alive": 60,
        }
        super().__init__(uvicorn.Config(app, **{**options, **more}))
        self._app = app
        self._told_to_stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._told_to_stop.wait()
        await self.last_words()

    async def last_words(self) -> None:
        """Open pages end, or they would hold up the stop."""
        await self._app.state.face.hub.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told_to_stop.set)

    def run_with(self, other: "EncryptedServer", ours: list[socket], theirs: list[socket]) -> None:
        """Both in one loop; the other ends when this one is told to."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        async def both() -> None:
            beside = asyncio.create_task(other.serve(theirs))
            await self.serve(ours)
            other.handle_exit(signal.SIGTERM, None)
            await beside

        asyncio.run(both())

    def run(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the daemon, and that stops its children
        super().run(sockets)  # type: ignore[arg-type]


class EncryptedServer(Server):
    """The same pages for the shop's network. The other server has the signals and the life of the application."""

    def __init__(self, app: Starlette, given: Certificate) -> None:
        files = {"ssl_certfile": str(given.chain), "ssl_keyfile": str(given.key)}
        super().__init__(app, lifespan="off", limit_concurrency=CONNECTIONS_MAX, **files)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def last_words(self) -> None:
        """Said by the other server."""
