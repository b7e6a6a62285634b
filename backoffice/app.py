"""The back office's page: stores, stock, freshness. Plain, and true without JavaScript."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

from backoffice.network import availability
from backoffice.store import GatewayView
from backoffice.store_sqlite import SqliteStore

TEMPLATES = Path(__file__).parent / "templates"
REFRESH_S = 3


def build(database: Path) -> FastAPI:
    """The application over the consumer's database, which it opens read-only for each request."""
    app = FastAPI(title="storekeeper back office", docs_url=None, redoc_url=None)
    pages = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape())

    @app.middleware("http")
    async def locked_down(request: Request, call_next: Any) -> Any:
        answer = await call_next(request)
        answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        return answer

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        with store(database) as opened:
            gateways, stock = opened.gateways(), opened.stock()
        return pages.get_template("stores.html").render(
            cards=[_card(one) for one in gateways],
            stores=sorted({one.store for one in stock}),
            rows=availability(stock),
            refresh_s=REFRESH_S,
        )

    @app.get("/api/gateways")
    def gateways() -> list[dict[str, Any]]:
        """Every gateway: how far it is held here, and how fresh it is."""
        with store(database) as opened:
            return [asdict(one) for one in opened.gateways()]

    @app.get("/api/stock")
    def stock() -> list[dict[str, Any]]:
        """What every store holds, by item, location and lot."""
        with store(database) as opened:
            return [asdict(one) for one in opened.stock()]

    return app


@contextlib.contextmanager
def store(database: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(database, read_only=True)
    try:
        yield opened
    finally:
        opened.close()


def _card(one: GatewayView) -> dict[str, Any]:
    """A store in words."""
    _, name, gateway = one.source.split("/")
    behind = max(0, one.newest - one.held)  # by its birth message: a lower bound
    if one.problem:
        state, words = "problem", one.problem
    elif one.discrepancies:
        items = "item" if one.discrepancies == 1 else "items"
        state, words = "problem", f"{one.discrepancies} {items} counted differently there and here"
    elif not one.online:
        state, words = "offline", "offline; its shop goes on counting"
    elif behind:
        state, words = "behind", f"{behind:,} movements behind"
    else:
        state, words = "online", "up to date"
    agreed = "Stock not compared yet"
    if one.digest_seq is not None:
        agreed = f"Stock last compared, and equal, at movement {one.digest_seq:,}"
    return {
        "name": name,
        "gateway": gateway,
        "state": state,
        "words": words,
        "remedy": _remedy(f"{name}/{gateway}") if one.problem else "",
        "held": one.held,
        "agreed": agreed,
        "heard": _ago(one.heard_us),
    }


def _remedy(gateway: str) -> str:
    return (
        f"storekeeper backoffice release {gateway}\n"
        "Restored from a backup: add --restored-to and the number that the restore has said."
    )


def _ago(us: int) -> str:
    """How long ago something was heard, in words."""
    if not us:
        return "not heard yet"
    seconds = time.time() - us / 1e6
    if seconds < 60:
        return "heard just now"
    if seconds < 120 * 60:
        return f"heard {seconds / 60:.0f} min ago"
    if seconds < 48 * 3600:
        return f"heard {seconds / 3600:.0f} h ago"
    return f"heard {seconds / 86_400:.0f} days ago"
