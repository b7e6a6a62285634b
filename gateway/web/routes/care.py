"""Care of the box: alerts, what to repair, unknown codes, help."""

import uuid

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.ledger import queries
from gateway.web import helping
from gateway.web.counter import BUTTONS, UNDO_KEY, WASTE_KEY
from gateway.web.face import Face, asked
from gateway.web.repair import repairs
from gateway.web.routes.actions import local_path


def alerts(request: Request) -> Response:
    reader = Face.of(request).reader(request)
    show = asked(request, "show") or "open"
    states = ("open",) if show == "open" else ("open", "ack", "closed")
    return reader.page("alerts.html", alerts=queries.alerts(reader.face.ledger, states), show=show)


def fix(request: Request) -> Response:
    """A repair list: one sentence and one instruction each."""
    reader = Face.of(request).reader(request)
    return reader.page("fix.html", repairs=repairs(reader))


def unknown(request: Request) -> Response:
    """Codes that nobody has named yet. Naming one books every scan that waited for it."""
    reader = Face.of(request).reader(request)
    ledger = reader.face.ledger
    return reader.page(
        "unknown.html",
        codes=queries.parked(ledger),
        items=queries.items(ledger, limit=2000),
        places=queries.places(ledger),
        categories=queries.categories(ledger),
        back=local_path(asked(request, "back") or "/unknown"),
        once=uuid.uuid4().hex,
    )


def more(request: Request) -> Response:
    reader = Face.of(request).reader(request)
    return reader.page("more.html", repairs=repairs(reader))


def help_index(request: Request) -> Response:
    reader = Face.of(request).reader(request)
    return reader.page(
        "help.html", buttons=BUTTONS, waste_key=WASTE_KEY, undo_key=UNDO_KEY, pages=helping.pages()
    )


def help_page(request: Request) -> Response:
    """What a message code means and what to do, without internet."""
    reader = Face.of(request).reader(request)
    code = request.path_params["code"]
    page = helping.page(code)
    if page is None:
        return reader.page("missing.html", 404, what=code)
    return reader.page("help_code.html", code=code, page=page)


routes = [
    Route("/alerts", alerts),
    Route("/fix", fix),
    Route("/unknown", unknown),
    Route("/more", more),
    Route("/help", help_index),
    Route("/help/{code}", help_page),
]
