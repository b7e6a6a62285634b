"""`/counter`: the kiosk; and the lines that keep pages alive."""

import sqlite3
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.ledger import queries
from gateway.stock.stations import WASTE_REASONS
from gateway.web.counter import BUTTONS, EXPIRY_NOTICE_DAYS, UNDO_KEY, WASTE_KEY, View, view
from gateway.web.face import Face, Reader, asked

EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}


async def counter(request: Request) -> Response:
    """The last scan large, the lines before it, the mode, and a field to type a code."""
    reader = Face.of(request).reader(request)
    device = station_named(reader.face, asked(request, "station"))
    shown = look(reader, device)
    return reader.page(
        "counter.html",
        **context(reader, shown),
        stations=station_names(reader.face),
        buttons=BUTTONS,
        waste_key=WASTE_KEY,
        undo_key=UNDO_KEY,
        reasons=WASTE_REASONS,
        once=uuid.uuid4().hex,
        lang=asked(request, "lang"),
    )


async def live_counter(request: Request) -> Response:
    """Server-sent events: the page's regions, whole, each time something happened."""
    face = Face.of(request)
    reader = face.reader(request)
    device = station_named(face, asked(request, "station"))
    return stream(face, lambda: frame(reader.later(), device))


async def live_pulse(request: Request) -> Response:
    """Server-sent events for the other pages: the ledger moved; ask again."""
    face = Face.of(request)
    return stream(face, lambda: pulse(face))


def stream(face: Face, make: Callable[[], dict[str, Any]]) -> Response:
    """Frames for as long as the page is open; an empty one while the ledger cannot be read."""

    def made() -> dict[str, Any]:
        try:
            return make()
        except sqlite3.Error:
            face.forget()
            return {}

    return StreamingResponse(face.hub.stream(made), headers=EVENT_STREAM)


def pulse(face: Face) -> dict[str, Any]:
    return {"seq": queries.last_seq(face.ledger), "version": face.hub.version}


def look(reader: Reader, device: str) -> View:
    face = reader.face
    soon = reader.words.local(reader.now_us).date() + timedelta(days=EXPIRY_NOTICE_DAYS)
    home = next(((one.mode, one.location) for one in face.scanners() if one.name == device), ("look", ""))
    trouble = face.not_recording()
    return view(face.ledger, face.hub.events, device, home, reader.now_us, soon.isoformat(), trouble)


def frame(reader: Reader, device: str) -> dict[str, Any]:
    """What the page's script puts in place: `regions` are HTML, rendered by the page's own templates."""
    shown = look(reader, device)
    parts = context(reader, shown) | {"status": reader.standing()}
    regions = {
        "card": reader.html("counter_card.html", **parts),
        "feed": reader.html("counter_feed.html", **parts),
        "chips": reader.html("counter_chips.html", **parts),
    }
    return {"mode": shown.mode, "regions": regions, "said": parts["said"]}


def context(reader: Reader, shown: View) -> dict[str, Any]:
    return {
        "view": shown,
        "device_state": reader.face.device_states().get(shown.device),
        "said": said(reader, shown),
    }


def said(reader: Reader, shown: View) -> str:
    """The card in one sentence, for those who listen to the page."""
    card, t = shown.card, reader.words.say
    name = card.name or card.about
    if shown.trouble:
        return f"{t('counter.not_counting')}. {t('counter.write_down')}"
    if card.code in ("ok", "low", "negative", "expired", "undo"):
        done = t("counter.undone") if card.code == "undo" else t(f"counter.done.{card.mode}")
        unit = card.item.unit if card.item else "piece"
        left = "" if card.left is None else f", {reader.words.amount(card.left, unit)} {t('counter.left')}"
        return f"{done}: {name}{left}"
    if card.code == "mode":
        return card.text if card.next_quantity else t(f"counter.now.{shown.mode}")
    if card.code == "ready":
        return t("counter.ready")
    word = {"unknown": "counter.unknown", "garbled": "counter.garbled", "refused": "counter.refused"}
    return f"{t(word[card.code])}: {name}" if card.code in word else f"{name} {card.text}".strip()


def station_named(face: Face, wanted: str) -> str:
    """The station asked for, when there is one of that name; else the first at the counter."""
    names = station_names(face)
    return wanted if wanted in names else names[0] if names else "web"


def station_names(face: Face) -> list[str]:
    """Scanners of the settings, then any other that has booked something."""
    configured = [device.name for device in face.scanners() if device.enabled and reads_codes(device.driver)]
    return configured or [one.device for one in queries.stations(face.ledger)]


def reads_codes(driver: str) -> bool:
    """Does a driver of this name read codes? Scales and sensors have no station; anything else may."""
    return not driver.startswith(("scale", "thermometer", "sensor", "rfid", "shelf"))


routes = [
    Route("/counter", counter),
    Route("/live/counter", live_counter),
    Route("/live/pulse", live_pulse),
]
