"""Care of the box: devices, alerts, what to repair, unknown codes, help."""

import uuid

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.ledger import queries
from gateway.web import helping
from gateway.web.counter import BUTTONS
from gateway.web.face import Face
from gateway.web.repair import repairs
from gateway.web.routes.actions import local_path

router = APIRouter()


@router.get("/devices")
async def devices(request: Request) -> Response:
    """A card for each device: what it is, how it is, when it last said something."""
    reader = Face.of(request).reader(request)
    face = reader.face
    states = face.device_states()
    configured = {device.name: device for device in face.settings.devices}
    return reader.page(
        "devices.html",
        names=sorted({*states, *configured} - {"web"}),
        states=states,
        configured=configured,
        stations={one.device: one for one in queries.stations(face.ledger)},
        samples=face.samples(),
    )


@router.get("/alerts")
async def alerts(request: Request, show: str = "open") -> Response:
    reader = Face.of(request).reader(request)
    states = ("open",) if show == "open" else ("open", "ack", "closed")
    return reader.page("alerts.html", alerts=queries.alerts(reader.face.ledger, states), show=show)


@router.get("/fix")
async def fix(request: Request) -> Response:
    """A repair list: one sentence and one instruction each."""
    reader = Face.of(request).reader(request)
    return reader.page("fix.html", repairs=repairs(reader))


@router.get("/unknown")
async def unknown(request: Request, back: str = "/unknown", code: str = "") -> Response:
    """Codes that nobody has named yet. Naming one books every scan that waited for it."""
    reader = Face.of(request).reader(request)
    ledger = reader.face.ledger
    return reader.page(
        "unknown.html",
        codes=queries.parked(ledger),
        items=queries.items(ledger, limit=2000),
        places=queries.places(ledger),
        categories=queries.categories(ledger),
        back=local_path(back),
        once=uuid.uuid4().hex,
    )


@router.get("/more")
async def more(request: Request) -> Response:
    reader = Face.of(request).reader(request)
    return reader.page("more.html", repairs=repairs(reader))


@router.get("/help")
async def help_index(request: Request) -> Response:
    reader = Face.of(request).reader(request)
    return reader.page("help.html", buttons=BUTTONS, codes=helping.codes())


@router.get("/help/{code}")
async def help_page(request: Request, code: str) -> Response:
    """What a message code means and what to do, without internet."""
    reader = Face.of(request).reader(request)
    text = helping.text_of(code)
    if text is None:
        return reader.page("missing.html", 404, what=code)
    return reader.page("help_code.html", code=code, text=text)
