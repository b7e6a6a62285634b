"""What every page needs: the two files, the settings, the templates, and the words of its reader."""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from gateway.config import KEPT_NAME, Device, Settings, load
from gateway.errors import SettingsInvalid
from gateway.ledger import queries
from gateway.web import assets
from gateway.web.desk import Desk
from gateway.web.language import Language, language, spoken
from gateway.web.live import Hub
from gateway.web.pairing import Pairing
from gateway.web.seat import Seat

QUERY_CHARS_MAX = 200
Row = TypeVar("Row")
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Lan:
    """How phones of the shop's network come in: addresses to type, what to compare, whom to trust."""

    addresses: tuple[str, ...]
    fingerprint: str
    authority: Path


class Face:
    """One per web process. The counter is read in the event loop, for it is quick and must be at once; the other
    pages in worker threads, for a big shop's take a while. Each thread has its own connections.
    """

    def __init__(
        self,
        settings: Settings,
        bus_address: str,
        hint_address: str,
        demo_address: str = "",
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.settings = settings
        self.demo_address = demo_address
        self.now_us = now_us
        self.desk = Desk(bus_address)
        self.hub = Hub(hint_address, self.ledger_changed)
        self.pairing = Pairing(settings.ledger.data_dir / "phones.json", time.time, time.monotonic)
        self.lan: Lan | None = None
        self.seat = Seat(str(settings.path), self.hub)
        self._settings_seen = self._settings_kept()
        self.templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.templates.globals.update(asset=assets.address, spoken=spoken, link_to=link_to)
        self._of_thread = threading.local()
        self._generation = 0  # of the connections: those of an older one are not used again
        self._data_version = 0

    @property
    def ledger(self) -> sqlite3.Connection:
        """The ledger, read-only. Raises sqlite3.OperationalError while there is none."""
        return self._connection("ledger.db")

    @property
    def telemetry(self) -> sqlite3.Connection | None:
        """The second file; None while there is none: it may be deleted at any time."""
        exists = (self.settings.ledger.data_dir / "telemetry.db").exists()
        return self._connection("telemetry.db") if exists else None

    @property
    def forecast(self) -> sqlite3.Connection | None:
        """What the models worker expects; None while it has not been asked yet."""
        exists = (self.settings.ledger.data_dir / "forecast.db").exists()
        return self._connection("forecast.db") if exists else None

    def _connection(self, name: str) -> sqlite3.Connection:
        generation, connection = getattr(self._of_thread, name, (-1, None))
        if connection is None or generation != self._generation:
            connection = queries.connect(self.settings.ledger.data_dir / name)
            setattr(self._of_thread, name, (self._generation, connection))
        assert isinstance(connection, sqlite3.Connection)
        return connection

    def ledger_changed(self) -> bool:
        """Did anybody commit since this was last asked? True as well when the ledger cannot be read just now."""
        try:
            version = self.ledger.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            self.forget()
            return True
        changed = version != self._data_version
        self._data_version = version
        return bool(changed)

    def device_states(self) -> dict[str, queries.DeviceState]:
        return {state.device: state for state in self._telemetry_rows(queries.device_states)}

    def samples(self) -> dict[str, list[queries.Sample]]:
        """The newest values of each device that measures something."""
        found: dict[str, list[queries.Sample]] = {}
        for sample in self._telemetry_rows(queries.latest_samples):
            found.setdefault(sample.device, []).append(sample)
        return found

    def link(self) -> queries.LinkState | None:
        """The line to the back office; None when there is none, or nothing is known of it."""
        return self._links().get("back office") if self.settings.mqtt.enabled else None

    def backup(self) -> queries.LinkState | None:
        """What became of the night's copy; None before the first."""
        return self._links().get("backup")

    def not_recording(self) -> str:
        """Why nothing can be booked just now, or "". The core says it in a hint, and in the second file."""
        if self.hub.events and self.hub.events[-1].code == "not_recording":
            return self.hub.events[-1].text
        ledger = self._links().get("ledger")
        return ledger.text if ledger and ledger.state == "not_recording" else ""

    def _links(self) -> dict[str, queries.LinkState]:
        return {link.name: link for link in self._telemetry_rows(queries.link_states)}

    def _telemetry_rows(self, question: Callable[[sqlite3.Connection], list[Row]]) -> list[Row]:
        """The answer; nothing while the file is not there, just being made, or was deleted meanwhile."""
        try:
            return question(self.telemetry) if self.telemetry is not None else []
        except sqlite3.Error:
            self.forget()
            return []

    def scanners(self) -> tuple[Device, ...]:
        """The devices that have a station, those at the counter first."""
        return tuple(sorted(self.settings.devices, key=lambda device: (device.mode != "sell", device.name)))

    @staticmethod
    def of(request: Request) -> "Face":
        face = request.app.state.face
        assert isinstance(face, Face)
        return face

    def reader(self, request: Request) -> "Reader":
        self.read_settings_again()
        shop = self.settings.shop
        code = asked(request, "lang") or shop.language
        return Reader(self, language(code, shop.timezone, shop.currency), self.now_us(), request.url.path)

    def forget(self) -> None:
        """A file could not be read: every thread opens its files again at the next question."""
        self._generation += 1

    def read_settings_again(self, *, at_once: bool = False) -> None:
        """What config.toml says of the devices by now: when the core has proven a new one, or `at_once`."""
        if at_once or self._settings_kept() != self._settings_seen:
            with suppress(SettingsInvalid):  # spoilt: the last settings hold, as in the core
                self.settings = load(self.settings.path).settings
            self._settings_seen = self._settings_kept()

    def _settings_kept(self) -> tuple[int, int]:
        """Which settings were proven last, here or by the core."""
        try:
            state = (self.settings.ledger.data_dir / KEPT_NAME).stat()
        except OSError:
            return 0, 0
        return state.st_mtime_ns, state.st_ino

    def close(self) -> None:
        self.desk.close()


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at a page: in which language, and when."""

    face: Face
    words: Language
    now_us: int
    path: str = "/"

    def later(self) -> "Reader":
        """The same reader now: a live page is looked at more than once."""
        return replace(self, now_us=self.face.now_us())

    def html(self, template: str, **context: Any) -> str:
        """The template with the words, the clock and the state of the shop that every page shows."""
        words = self.words
        return self.face.templates.get_template(template).render(
            t=words.say,
            n=words.count,
            words=words,
            now_us=self.now_us,
            today=words.local(self.now_us).date(),
            shop=self.face.settings.shop,
            demo=bool(self.face.demo_address),
            version=self.face.hub.version,
            path=self.path,
            **context,
        )

    def page(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        return HTMLResponse(self.html(template, status=self.standing(), **context), status)

    def standing(self) -> "Standing":
        return standing(self.face)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the bar of every page says: devices, the line to the back office, how much wants a person."""

    unknown: int
    alerts: int
    devices_down: int
    link: queries.LinkState | None
    waiting: queries.Waiting


def standing(face: Face) -> Standing:
    states = face.device_states().values()
    down = sum(state.state not in ("running", "starting", "disabled") for state in states)
    return Standing(
        unknown=len(queries.parked(face.ledger)),
        alerts=queries.alert_count(face.ledger),
        devices_down=down,
        link=face.link(),
        waiting=queries.waiting(face.ledger),
    )


def link_to(path: str, **query: object) -> str:
    """A link with the query parts that are not empty."""
    kept = {key: value for key, value in query.items() if value not in ("", None, False)}
    return f"{path}?{urlencode(kept)}" if kept else path


def asked(request: Request, key: str) -> str:
    """One part of the address's query, bounded; "" when it is not there."""
    return request.query_params.get(key, "").strip()[:QUERY_CHARS_MAX]


def asked_number(request: Request, key: str) -> int | None:
    """A whole number of the query; None for anything else."""
    text = asked(request, key)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
