"""The shop's own pages: what needs me, what is there, and the movements that say why."""

import uuid
from datetime import timedelta
from itertools import groupby

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.ledger import queries
from gateway.web import forecaster, outlook
from gateway.web.counter import KIND_MODES
from gateway.web.face import Face, Reader, asked, asked_number
from gateway.web.today import CARDS_MAX, cards, sold_by_day

ITEMS_SHOWN = 60
MOVES_SHOWN = 40
REASONS_SHOWN = 15
RECENT_SHOWN = 6
EXPIRING_SHOWN_DAYS = 14


def today(request: Request) -> Response:
    """What needs me, and what is happening just now."""
    reader = Face.of(request).reader(request)
    found = cards(reader)
    face = reader.face
    return reader.page(
        "today.html",
        cards=found if asked(request, "show") == "all" else found[:CARDS_MAX],
        card_count=len(found),
        days=sold_by_day(face, reader),
        shelf=queries.shelf(face.ledger),
        recent=[one for one in queries.movements(face.ledger, limit=RECENT_SHOWN + 6) if not one.reverses][
            :RECENT_SHOWN
        ],
        modes=KIND_MODES,
    )


def stock(request: Request) -> Response:
    """Every item with what is on hand; short ones and those that expire on their own."""
    reader = Face.of(request).reader(request)
    ledger = reader.face.ledger
    q, show = asked(request, "q"), asked(request, "show")
    page = max(1, asked_number(request, "page") or 1)
    until = reader.words.local(reader.now_us).date() + timedelta(days=EXPIRING_SHOWN_DAYS)
    short = show == "short"
    total = queries.item_count(ledger, q, short)
    only = queries.sku_of(ledger, q.strip()) if q.strip() else None
    if only:
        return RedirectResponse(f"/item/{only}", 303)
    return reader.page(
        "stock.html",
        items=queries.items(ledger, q, short, ITEMS_SHOWN, (page - 1) * ITEMS_SHOWN),
        expiring=queries.expiring(ledger, until.isoformat()) if show == "expiring" else None,
        shelf=queries.shelf(ledger),
        total=total,
        number=page,
        more=total > page * ITEMS_SHOWN,
        q=q,
        show=show,
    )


def item(request: Request) -> Response:
    """One item: the number, the movements behind it, the outlook. Any code of it leads here."""
    reader = Face.of(request).reader(request)
    face = reader.face
    code, before = request.path_params["code"], asked_number(request, "before")
    found = queries.item(face.ledger, code)
    if found is None:
        sku = queries.sku_of(face.ledger, code)
        if sku is not None:
            return RedirectResponse(f"/item/{sku}", 303)
        return reader.page("missing.html", 404, what=code)
    expected = outlook.of_item(reader, found)
    steps = queries.why(face.ledger, found.sku, REASONS_SHOWN, before)
    return reader.page(
        "item.html",
        item=found,
        codes=queries.codes_of(face.ledger, found.sku),
        levels=(levels := queries.levels(face.ledger, found.sku)),
        places=countable(face, levels),
        once=uuid.uuid4().hex,
        steps=steps,
        older=steps[-1].movement.seq if len(steps) == REASONS_SHOWN else None,
        modes=KIND_MODES,
        outlook=expected,
        chart=outlook.chart(reader, expected),
        pieces=[] if expected.is_new else forecaster.pieces(expected.note),
        questions=forecaster.questions(reader, found.sku),
        answers=forecaster.ANSWERS,
    )


def model(request: Request) -> Response:
    """How good the forecasts are, how far tonight's are, and what they want to know."""
    reader = Face.of(request).reader(request)
    return reader.page(
        "model.html",
        report=forecaster.report(reader),
        night=forecaster.under_way(reader),
        questions=forecaster.questions(reader),
        answers=forecaster.ANSWERS,
        acts=forecaster.ACTS,
        sensors=forecaster.odd_sensors(reader),
    )


def journal(request: Request) -> Response:
    """Every movement: who, where, why, and the way to take it back."""
    reader = Face.of(request).reader(request)
    ledger = reader.face.ledger
    kind, device = asked(request, "kind"), asked(request, "device")
    before = asked_number(request, "before")
    rows = queries.movements(ledger, kind=kind, device=device, before_seq=before, limit=MOVES_SHOWN)
    return reader.page(
        "journal.html",
        days=by_day(reader, rows),
        kinds=list(KIND_MODES),
        devices=sorted({one.name for one in reader.face.settings.devices} | {"web"}),
        kind=kind,
        device=device,
        older=rows[-1].seq if len(rows) == MOVES_SHOWN else None,
        modes=KIND_MODES,
        back=str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""),
    )


def countable(face: Face, levels: list[queries.Level]) -> list[str]:
    """Where an item may be counted: where it is, then where the shop's stations are."""
    stations = [device.location for device in face.scanners()]
    return list(dict.fromkeys([*(level.loc for level in levels), *stations])) or ["shop"]


def by_day(reader: Reader, rows: list[queries.Movement]) -> list[tuple[str, list[queries.Movement]]]:
    words = reader.words
    last = words.local(reader.now_us).date()
    days = groupby(rows, key=lambda row: words.local(row.happened_us).date())
    return [(words.day(day, last), list(group)) for day, group in days]


routes = [
    Route("/", today),
    Route("/stock", stock),
    Route("/item/{code:path}", item),
    Route("/model", model),
    Route("/journal", journal),
]
