"""Decides when a child that thinks is started: the models' night, the night's backup. It does no thinking itself.

The workers are niced processes of their own, one at a time. Whatever becomes of them, counting goes on. Once a
minute it looks how full the disk is.
"""

import contextlib
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from drivers.bus import Outlet
from drivers.contract import Document
from gateway.addresses import bus_address
from gateway.config import Settings
from gateway.ledger.backups import backups
from gateway.ledger.made_at import made_us
from gateway.ledger.open_alerts import OpenAlerts
from gateway.ledger.telemetry import Telemetry
from gateway.room import let_backups_go, notices, room, told

if TYPE_CHECKING:
    import subprocess

NIGHT_HOUR = 3  # of the shop's local time
FIRST_LOOK_S = 5.0  # after a start: the shop has precedence
FIRST_BACKUP_S = 600.0  # a box that is switched off at night makes its backup in the morning
LOOK_EVERY_S = 60.0
RETRY_S = 6 * 3600.0  # after a night that failed
NEEDED = ("numpy", "onnxruntime")


@dataclass(slots=True)
class Job:
    """One night's work: when it is due, what is run, what is said about it under `name`."""

    name: str
    due: Callable[[datetime], bool]
    command: list[str]
    doing: str
    done: str
    failed: str  # what holds meanwhile
    not_before_s: float = 0.0


class Timetable:
    """One worker at a time; its last words go to the log of the daemon."""

    def __init__(self, settings: Settings, telemetry: Telemetry, open_alerts: OpenAlerts) -> None:
        self._settings = settings
        self._zone = ZoneInfo(settings.shop.timezone)
        self._telemetry = telemetry
        self._jobs = [*([_forecast(settings)] if can_forecast() else []), _backup(settings)]
        self._open_alerts = open_alerts
        self._job: Job | None = None
        self._worker: subprocess.Popen[bytes] | None = None

    def run(self, stop: threading.Event) -> None:
        """The loop of the thread `timetable`."""
        if not can_forecast():
            self._telemetry.link(
                "forecast", "off", "the models are not installed: pip install storekeeper[models]"
            )
        wait_s, look_s = FIRST_LOOK_S, 0.0
        while not stop.wait(wait_s):
            wait_s = 1.0 if self._worker else LOOK_EVERY_S
            self.look()
            if time.monotonic() >= look_s:
                look_s = time.monotonic() + LOOK_EVERY_S - 1
                self.look_at_the_disk()
        if self._worker is not None:
            self._worker.terminate()  # it leaves what the night before made
            self._worker.wait()

    def look(self) -> None:
        """Begin or bury a worker, if it is time. A disk or a machine that cannot is said, and tried later."""
        if self._job is not None:
            self._ended(self._job)
            return
        for job in self._jobs:
            try:
                if time.monotonic() >= job.not_before_s and job.due(datetime.now(self._zone)):
                    self._begin(job)
                    return
            except OSError as error:
                self._failed(job, f"the worker cannot be started ({error})")

    def look_at_the_disk(self) -> None:
        """Say how full it is, once a level; make room when there is hardly any."""
        data_dir = self._settings.ledger.data_dir
        with contextlib.suppress(OSError, sqlite3.Error):
            found = room(data_dir)
            if found.tight:
                self._telemetry.drop_samples()
                let_backups_go(self._settings.ledger.backups, data_dir)
            for notice in notices(room(data_dir), told(self._open_alerts())):
                self._tell(notice)

    def _tell(self, notice: dict[str, Any]) -> None:
        outlet = Outlet(bus_address(self._settings), "timetable", os.urandom(6).hex())
        with (
            contextlib.closing(outlet),
            contextlib.suppress(TimeoutError),
        ):  # a full disk: a minute later, then
            outlet.ask(Document("notice", os.urandom(8).hex(), notice))

    def _begin(self, job: Job) -> None:
        self._telemetry.link(job.name, "learning" if job.name == "forecast" else "working", job.doing)
        import subprocess  # half a megabyte that the nursery's children need not share

        self._worker = subprocess.Popen(
            [sys.executable, "-P", "-m", *job.command, f"--dies-with={os.getpid()}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._job = job

    def _ended(self, job: Job) -> None:
        assert self._worker is not None
        status = self._worker.poll()
        if status is None:
            return
        self._worker = self._job = None
        if status == 0:
            self._telemetry.link(job.name, "online", job.done)
        else:
            self._failed(job, f"the worker ended with status {status}")

    def _failed(self, job: Job, why: str) -> None:
        job.not_before_s = time.monotonic() + RETRY_S
        self._telemetry.link(job.name, "failed", f"{why}; {job.failed}, it is tried again later")


def _forecast(settings: Settings) -> Job:
    folder = settings.ledger.data_dir
    forecast = folder / "forecast.db"
    options = [
        f"--ledger={folder / 'ledger.db'}",
        f"--out={forecast}",
        f"--timezone={settings.shop.timezone}",
        *([f"--country={settings.shop.country}"] if settings.shop.country else []),
    ]
    return Job(
        "forecast",
        lambda now: is_due(made_us(forecast), now),
        ["models", "learn", *options],
        "the forecast is being made",
        "made for tomorrow and after",
        "the former forecast stays",
    )


def _backup(settings: Settings) -> Job:
    def due(now: datetime) -> bool:
        newest = backups(settings.ledger.backups)[:1]
        return is_due(newest[0].path.stat().st_mtime_ns // 1000 if newest else None, now)

    return Job(
        "backup",
        due,
        ["gateway", "backup", "create", f"--config={settings.path}"],
        "the ledger is being copied",
        "the newest copy was proven right",
        "the copies that there are stay",
        time.monotonic() + FIRST_BACKUP_S,
    )


def can_forecast() -> bool:
    """Whether the extra [models] is installed; nothing of it is imported here."""
    return all(find_spec(name) is not None for name in NEEDED)


def is_due(made_us: int | None, now: datetime) -> bool:
    """What is made after each night's NIGHT_HOUR, and at once when there is none."""
    if made_us is None:
        return True
    night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    if night > now:
        night -= timedelta(days=1)
    return datetime.fromtimestamp(made_us / 1e6, now.tzinfo) < night
