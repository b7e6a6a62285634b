"""What a person presses: each becomes a document on the bus, and is answered after the commit."""

import re
from collections.abc import Mapping
from datetime import date
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from drivers.contract import Outcome
from gateway.ledger import queries
from gateway.web.face import Face, link_to
from gateway.web.forecaster import ANSWERS

FORM_BYTES_MAX = 64 * 1024
FIELD_CHARS_MAX = 300
PRICE = re.compile(r"([0-9]{1,7})(?:[.,]([0-9]{1,2}))?")
FAILED = ("refused", "not_recording", "garbled")


class BadForm(Exception):
    """A form that none of our pages sends. The text says what is wrong with it."""


async def scan(request: Request) -> Response:
    """A code typed, or a button pressed: as if the station had scanned it."""
    form = await fields(request)
    code = required(form, "code")
    if is_word(code) and queries.sku_of(Face.of(request).ledger, code) is None:
        href = link_to("/stock", q=code)
        wants_json = request.headers.get("accept", "").startswith("application/json")
        return JSONResponse({"href": href}) if wants_json else RedirectResponse(href, 303)
    return await done(request, form, "scan", {"code": code, "device": form.get("station", "")})


def is_word(typed: str) -> bool:
    """What a person types who looks for an item. No scanner sends it here: what it reads goes by its driver."""
    return typed.replace(" ", "").replace("-", "").isalpha()


async def name(request: Request) -> Response:
    """An unknown code gets its item; every scan that waited for it is booked, with its own time."""
    form = await fields(request)
    code = required(form, "code")
    if form.get("sku"):
        return await done(request, form, "name_code", {"code": code, "sku": form["sku"]})
    body = {
        "code": code,
        "name": required(form, "name"),
        "price_minor": minor(form.get("price", "")),
        "category": form.get("category", ""),
        "place": form.get("place", ""),
    }
    return await done(request, form, "name_code", body)


async def dismiss(request: Request) -> Response:
    """The scans of an unknown code were a mistake: nothing is booked for them."""
    form = await fields(request)
    return await done(request, form, "dismiss_parked", {"code": required(form, "code")})


async def undo(request: Request) -> Response:
    """The inverse of one movement; history itself is never edited."""
    form = await fields(request)
    return await done(request, form, "undo", {"seq": whole(form, "seq")})


async def count(request: Request) -> Response:
    """What somebody counted on a shelf; the difference becomes a movement."""
    form = await fields(request)
    body = {
        "sku": required(form, "sku"),
        "location": required(form, "location"),
        "quantity": whole(form, "quantity"),
    }
    return await done(request, form, "count", body)


async def answer(request: Request) -> Response:
    """What a day was, or will be: the next night learns from it."""
    form = await fields(request)
    dropped = form.get("drop", "")
    plan = {
        "sku": required(form, "sku"),
        "starts_on": iso_day(form, "day"),
        "kind": dropped or required(form, "kind"),
    }
    if plan["kind"] not in ANSWERS:
        raise BadForm(f"kind is {plan['kind']!r}; use {', '.join(ANSWERS)}")
    return await done(
        request, form, "items", {"rows": [{"plan": plan | ({"drop": True} if dropped else {})}]}
    )


async def alert(request: Request) -> Response:
    form = await fields(request)
    what = required(form, "do")
    if what not in ("ack", "close"):
        raise BadForm(f"do is {what!r}; use ack or close")
    return await done(request, form, "alert", {"id": whole(form, "alert"), "do": what})


async def done(request: Request, form: dict[str, str], kind: str, body: Mapping[str, object]) -> Response:
    """Ask the core; then back to the page, or the outcome as JSON for the page's script."""
    face = Face.of(request)
    try:
        outcome = await face.desk.ask(kind, dict(body), form.get("id", ""))
        status = 200
    except TimeoutError:
        outcome, status = Outcome("not_recording", face.reader(request).words.say("do.no_answer")), 503
    if request.headers.get("accept", "").startswith("application/json"):
        answer = {"code": outcome.code, "text": outcome.text, "about": outcome.about}
        return JSONResponse(answer, status)
    back = local_path(form.get("back", ""))
    if outcome.code in FAILED:
        return face.reader(request).page(
            "said.html", status if status != 200 else 422, outcome=outcome, back=back
        )
    return RedirectResponse(back, 303)


async def fields(request: Request) -> dict[str, str]:
    """The form's fields, each once, bounded. Raises BadForm."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise BadForm(f"the form is longer than {FORM_BYTES_MAX} bytes")
    try:
        parsed = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError as error:
        raise BadForm(f"the form cannot be read: {error}") from error
    form = {key: values[-1].strip() for key, values in parsed.items()}
    for key, value in form.items():
        if len(value) > FIELD_CHARS_MAX:
            raise BadForm(f"{key} is longer than {FIELD_CHARS_MAX} characters")
    return form


def required(form: dict[str, str], key: str) -> str:
    if not form.get(key):
        raise BadForm(f"{key} is empty")
    return form[key]


def whole(form: dict[str, str], key: str) -> int:
    text = required(form, key)
    if not (text.isascii() and text.isdigit()):
        raise BadForm(f"{key} is {text!r}; use a whole number")
    return int(text)


def iso_day(form: dict[str, str], key: str) -> str:
    text = required(form, key)
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise BadForm(f"{key} is {text!r}; use a day like 2026-12-24") from error


def minor(text: str) -> int | None:
    """A price as people type it, in minor units: "1,29" -> 129, "1.2" -> 120, "" -> None. Raises BadForm."""
    if not text:
        return None
    match = PRICE.fullmatch(text)
    if match is None:
        raise BadForm(f"price is {text!r}; write it like 1.29")
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def local_path(text: str) -> str:
    """Where to go back to: a path of ours, never another site."""
    ours = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if ours else "/"


routes = [
    Route("/do/scan", scan, methods=["POST"]),
    Route("/do/name", name, methods=["POST"]),
    Route("/do/dismiss", dismiss, methods=["POST"]),
    Route("/do/undo", undo, methods=["POST"]),
    Route("/do/count", count, methods=["POST"]),
    Route("/do/answer", answer, methods=["POST"]),
    Route("/do/alert", alert, methods=["POST"]),
]
