"""Setting devices up: what is found, who speaks, what it sends, how it is set; and the check card."""

import base64
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from drivers.discover import Found, hardware_at
from gateway.care import BLOCKED, HARDWARE, IGNORED
from gateway.ledger import queries
from gateway.plugged import strangers, where
from gateway.settings_file import Change, Value, add_device, change_device
from gateway.stock.check_card import STYLE, card_html
from gateway.web.counter import MODES
from gateway.web.face import Face, Reader, asked
from gateway.web.routes.actions import BadForm, done, fields, local_path, required
from gateway.web.routes.counter import reads_codes, station_names

# The card is a file of its own that `devices check-card -o` writes, too: its one style sheet is named by its hash
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"

DRIVERS = {  # what may be behind such a thing; the first is the most likely
    "keyboard": ("hid_scanner",),
    "hid": ("hid_pos", "scale_hid"),
    "1-wire": ("thermometer_ds18b20",),
    "i2c": ("scale_nau7802", "thermometer_sht3x"),
    "serial": ("serial_scanner", "scale_", "rfid_", "thermometer_modbus"),
}
NOT_SERIAL = ("scale_hid", "scale_nau7802", "rfid_llrp")
KEYS_TYPED = ("hid_scanner",)  # drivers of what could be a programmed stick: to be confirmed
HEAR = "hear:"  # + identity: a keyboard that its owner calls a scanner


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that is plugged in and not set up, as the page shows it."""

    found: Found
    said: str = ""  # what it said just now
    speaks: bool = False
    blocked: bool = False
    private: bool = False  # it may be the owner's keyboard: not listened to
    driver: str = ""  # who understands it


def devices(request: Request) -> Response:
    """A card for each device: what it is, how it is, when it last said something; and what is not set up yet."""
    face = Face.of(request)
    reader = face.reader(request)
    seen, ignored = found(face)
    return reader.page(
        "devices.html",
        **shared(reader),
        names=sorted({device.name for device in face.settings.devices}),
        seen=seen,
        ignored=ignored,
    )


def add_page(request: Request) -> Response:
    """Which one is it? And the form for the one that it is."""
    face = Face.of(request)
    reader = face.reader(request)
    seen, ignored = found(face)
    identity = asked(request, "identity")
    chosen = next((one for one in seen if one.found.identity == identity), None)
    names = {device.name for device in face.settings.devices}
    return reader.page(
        "add_device.html",
        **shared(reader),
        seen=seen,
        ignored=ignored,
        chosen=chosen,
        drivers=drivers_for(chosen.found) if chosen else (),
        suggested=fresh_name(chosen, names) if chosen else "",
        modes=MODES,
        places=places_of(face),
        listening=face.seat.is_listening and face.seat.what == "pair",
        hear=HEAR,
        lang=asked(request, "lang"),
    )


def device_page(request: Request) -> Response:
    """One device: how it is, what it sends, how it is set, where it belongs."""
    face = Face.of(request)
    reader = face.reader(request)
    name = request.path_params["name"]
    device = next((one for one in face.settings.devices if one.name == name), None)
    if device is None:
        return reader.page("missing.html", 404, what=name)
    seat = face.seat
    card = [dict(row) for row in seat.rows] if seat.about("card", name) else []
    hardware = hardware_at(where(device))
    confirmed = queries.settings_below(face.ledger, HARDWARE).get(name)
    return reader.page(
        "device.html",
        **shared(reader),
        name=name,
        device=device,
        hardware=hardware,
        to_confirm=device.driver in KEYS_TYPED and confirmed != hardware,
        confirmed=confirmed is not None and confirmed == hardware,
        rows=list(reversed(seat.rows)) if seat.about("watch", name) else [],
        watching=seat.is_listening and seat.about("watch", name),
        carding=seat.is_listening and seat.about("card", name),
        card=card[-1] if card else None,
        problem=seat.problem if seat.name == name else "",
        modes=MODES,
        places=places_of(face),
    )


def check_card(request: Request) -> Response:
    return HTMLResponse(card_html(), headers={"content-security-policy": POLICY})


async def listen(request: Request) -> Response:
    """Begin to listen: to all that are found, or to one device."""
    face, form = Face.of(request), await fields(request)
    what = required(form, "what")
    if what not in ("pair", "watch", "card"):
        raise BadForm(f"what is {what!r}; use pair, watch or card")
    names = [key.removeprefix(HEAR) for key in form if key.startswith(HEAR)]
    if what != "pair":
        names = [required(form, "name")]
        if names[0] not in {device.name for device in face.settings.devices}:
            raise BadForm(f"there is no device {names[0]!r}")
    await face.seat.listen(what, names, face.now_us)
    return RedirectResponse(local_path(form.get("back", "")), 303)


async def hush(request: Request) -> Response:
    """Enough heard."""
    face, form = Face.of(request), await fields(request)
    await face.seat.stop()
    return RedirectResponse(local_path(form.get("back", "")), 303)


async def tell_device(request: Request) -> Response:
    """A word to one device: sound, count again, it is ours."""
    face, form = Face.of(request), await fields(request)
    name, what = required(form, "name"), required(form, "do")
    if what not in ("identify", "free", "confirm"):
        raise BadForm(f"do is {what!r}; use identify, free or confirm")
    body = {"name": name, "do": what}
    if what == "confirm":
        device = next((one for one in face.settings.devices if one.name == name), None)
        body["hardware"] = hardware_at(where(device)) if device else ""
    return await done(request, form, "device", body)


async def want(request: Request) -> Response:
    """What is found is ignored, or shown again."""
    form = await fields(request)
    body = {"identity": required(form, "identity"), "is": form.get("is", "")}
    return await done(request, form, "hardware", body)


async def add(request: Request) -> Response:
    """A section for what was found, proven, written and taken up; or the section to paste."""
    face, form = Face.of(request), await fields(request)
    identity, name = required(form, "identity"), required(form, "name")
    seen = next((one for one in await run_sync(found_now, face) if one.identity == identity), None)
    if seen is None:
        raise BadForm(f"{identity} is not plugged in any more")
    await face.seat.stop()  # it holds the device that is to be opened
    values: dict[str, Value] = {"name": name, "driver": required(form, "driver")}
    if reads_codes(str(values["driver"])):
        values |= {"mode": form.get("mode", "look")}
    values |= {"location": required(form, "location"), **seen.settings}
    if form.get("baud", "").isdigit():
        values["baud"] = int(form["baud"])
    change = await run_sync(add_device, face.settings.path, values)
    if not change.written:
        return not_written(request, change, "/devices/add")
    with suppress(TimeoutError):
        await face.desk.ask("device", {"name": name, "do": "confirm", "hardware": seen.hardware})
        await face.desk.ask("notice", {"kind": BLOCKED, "subject": identity, "over": True})
    return await taken_up(face, f"/device/{name}")


async def change(request: Request) -> Response:
    """Another home for a scanner, or what the check card found out."""
    face, form = Face.of(request), await fields(request)
    name = required(form, "name")
    back = f"/device/{name}"
    if form.get("from") == "card":
        rows = list(face.seat.rows) if face.seat.about("card", name) else []
        values: dict[str, Value] = dict(rows[-1]["verdict"]["settings"]) if rows else {}
    else:
        values = {key: required(form, key) for key in ("mode", "location") if key in form}
    if not values:
        raise BadForm("there is nothing to change")
    changed = await run_sync(change_device, face.settings.path, name, values)
    if not changed.written:
        return not_written(request, changed, back)
    return await taken_up(face, back)


async def taken_up(face: Face, back: str) -> Response:
    """The core reads the settings again; so do the pages."""
    with suppress(TimeoutError):  # a core that is not there reads them when it starts
        await face.desk.ask("settings", {})
    await run_sync(partial(face.read_settings_again, at_once=True))
    return RedirectResponse(back, 303)


def not_written(request: Request, change: Change, back: str) -> Response:
    face = Face.of(request)
    return face.reader(request).page(
        "paste.html", 422, change=change, file=str(face.settings.path), back=back
    )


def shared(reader: Reader) -> dict[str, Any]:
    """What all of these pages show of devices."""
    face = reader.face
    return {
        "states": face.device_states(),
        "configured": {device.name: device for device in face.settings.devices},
        "stations": {one.device: one for one in queries.stations(face.ledger)},
        "samples": face.samples(),
        "counters": station_names(face),
    }


def found(face: Face) -> tuple[list[Seen], list[Found]]:
    """What is plugged in and not set up, those that speak first; and what its owner does not want to see."""
    ignored = queries.settings_below(face.ledger, IGNORED)
    alerts = queries.alerts(face.ledger, ("open", "ack"), limit=-1)
    blocked = {one.subject for one in alerts if one.kind == BLOCKED}
    rows = {row["identity"]: row for row in face.seat.rows} if face.seat.what == "pair" else {}
    seen, unwanted = [], []
    for one in found_now(face):
        row = rows.get(one.identity, {})
        if one.identity in ignored:
            unwanted.append(one)
        elif one.kind != "i2c" or row:
            seen.append(
                Seen(
                    one,
                    row.get("what", ""),
                    bool(row),
                    one.identity in blocked or row.get("blocked", False),
                    one.kind == "keyboard" and not one.driver,
                    one.driver or row.get("driver", ""),
                )
            )
    return sorted(seen, key=lambda one: not one.speaks), unwanted


def found_now(face: Face) -> list[Found]:
    return strangers(face.settings.devices)


def drivers_for(one: Found) -> tuple[str, ...]:
    """The drivers that may be behind such a thing, of those that are installed."""
    from drivers.loading import available

    names = [driver.name for driver in available()]
    likely = DRIVERS.get(one.kind, ())
    chosen = [name for start in likely for name in names if name.startswith(start)]
    if one.kind == "serial":
        chosen = [name for name in chosen if name not in NOT_SERIAL]
    return tuple(chosen)


def fresh_name(one: Seen, taken: set[str]) -> str:
    """A name to begin with: "scanner", "scanner-2"."""
    kind = (one.driver or "device").split("_")[0]
    word = {"hid": "scanner", "serial": "scanner"}.get(kind, kind)
    number = 1
    while (name := word if number == 1 else f"{word}-{number}") in taken:
        number += 1
    return name


def places_of(face: Face) -> list[str]:
    return list(dict.fromkeys([device.location for device in face.settings.devices])) or ["counter"]


routes = [
    Route("/devices", devices),
    Route("/devices/add", add_page),
    Route("/devices/check-card", check_card),
    Route("/device/{name}", device_page),
    Route("/do/listen", listen, methods=["POST"]),
    Route("/do/hush", hush, methods=["POST"]),
    Route("/do/device", tell_device, methods=["POST"]),
    Route("/do/hardware", want, methods=["POST"]),
    Route("/do/add-device", add, methods=["POST"]),
    Route("/do/change-device", change, methods=["POST"]),
]
