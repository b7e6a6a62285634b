"""Decides when a child that thinks is started: the models' night. It does no thinking itself.

The worker is a niced process of its own; it reads the ledger and writes forecast.db. Whatever becomes of it,
counting goes on.
"""

import os
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.config import Settings
from gateway.ledger.telemetry import Telemetry

NIGHT_HOUR = 3  # of the shop's local time
FIRST_LOOK_S = 5.0  # after a start: the shop has precedence
LOOK_EVERY_S = 60.0
RETRY_S = 6 * 3600.0  # after a night that failed
NEEDED = ("numpy", "onnxruntime")


class Timetable:
    """One worker at a time; its last words go to the log of the daemon."""

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        folder = settings.ledger.data_dir
        self._ledger = folder / "ledger.db"
        self._forecast = folder / "forecast.db"
        self._zone = ZoneInfo(settings.shop.timezone)
        self._timezone = settings.shop.timezone
        self._telemetry = telemetry
        self._worker: subprocess.Popen[bytes] | None = None
        self._not_before_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """The loop of the thread `timetable`."""
        if not can_forecast():
            self._telemetry.link(
                "forecast", "off", "the models are not installed: pip install storekeeper[models]"
            )
            stop.wait()
            return
        wait_s = FIRST_LOOK_S
        while not stop.wait(wait_s):
            wait_s = 1.0 if self._worker else LOOK_EVERY_S
            self.look()
        if self._worker is not None:
            self._worker.terminate()  # it leaves the forecasts of the night before
            self._worker.wait()

    def look(self) -> None:
        """Begin or bury the worker, if it is time. A disk or a machine that cannot is said, and tried later."""
        try:
            if self._worker is not None:
                self._ended()
            elif time.monotonic() >= self._not_before_s and is_due(self._forecast, datetime.now(self._zone)):
                self._begin()
        except OSError as error:
            self._failed(f"the worker cannot be started ({error})")

    def _begin(self) -> None:
        self._telemetry.link("forecast", "learning", "the forecast is being made")
        self._worker = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "models",
                "learn",
                f"--ledger={self._ledger}",
                f"--out={self._forecast}",
                f"--timezone={self._timezone}",
                f"--dies-with={os.getpid()}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def _ended(self) -> None:
        assert self._worker is not None
        status = self._worker.poll()
        if status is None:
            return
        self._worker = None
        if status == 0:
            self._telemetry.link("forecast", "online", "made for tomorrow and after")
        else:
            self._failed(f"the worker ended with status {status}")

    def _failed(self, why: str) -> None:
        self._not_before_s = time.monotonic() + RETRY_S
        text = f"{why}; the former forecast stays, it is tried again later"
        self._telemetry.link("forecast", "failed", text)


def can_forecast() -> bool:
    """Whether the extra [models] is installed; nothing of it is imported here."""
    return all(find_spec(name) is not None for name in NEEDED)


def is_due(forecast: Path, now: datetime) -> bool:
    """A forecast is made after each night's NIGHT_HOUR, and at once when there is none."""
    try:
        made = datetime.fromtimestamp(forecast.stat().st_mtime, now.tzinfo)
    except FileNotFoundError:
        return True
    night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    if night > now:
        night -= timedelta(days=1)
    return made < night
