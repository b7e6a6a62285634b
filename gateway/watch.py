"""Looks at devices and shelves while nobody else does, and says what a person should know: as documents on the bus.

It decides nothing about stock: what it says becomes an alert with its evidence, through the same door as a scan.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from drivers.bus import Outlet
from drivers.contract import Document
from drivers.discover import hardware_at
from gateway.addresses import bus_address
from gateway.care import BLOCKED
from gateway.config import Device, Settings
from gateway.ledger.open_alerts import OpenAlerts
from gateway.ledger.telemetry import DeviceState, Telemetry
from gateway.plugged import is_unplugged, where

LOOK_EVERY_S = 2.0
SHELVES_EVERY_S = 120.0
GONE_AFTER_S = 60.0
FAILURES_MAX, FAILURES_WITHIN_S = 3, 600.0
OF_A_DEVICE = ("device_gone", "device_failing", "device_muted", BLOCKED)


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert to raise, or, without a text, to close."""

    kind: str
    subject: str
    severity: str = ""
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


class Watch:
    """`settings` as they are just now; `failures`: how often a driver ended within so many seconds."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        telemetry: Telemetry,
        failures: Callable[[str, float], int],
        open_alerts: OpenAlerts,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._failures = failures
        self._alerts = open_alerts
        self._open: frozenset[tuple[str, str]] = frozenset()

    def run(self, stop: threading.Event) -> None:
        """The loop of the thread `watch`."""
        outlet = Outlet(bus_address(self._settings()), "watch", os.urandom(6).hex())
        shelves_s = time.monotonic() + SHELVES_EVERY_S
        while not stop.wait(LOOK_EVERY_S):
            self._open = self._still_open()  # a page, a command and the back office close notices, too
            notices = list(self._of_devices(time.monotonic()))
            if time.monotonic() >= shelves_s:
                shelves_s += SHELVES_EVERY_S
                notices += self._of_shelves(time.time_ns() // 1000)
            for notice in notices:
                self._say(outlet, notice)
        outlet.close()

    def _still_open(self) -> frozenset[tuple[str, str]]:
        with contextlib.suppress(sqlite3.Error):
            return self._alerts()
        return frozenset()

    def _say(self, outlet: Outlet, notice: Notice) -> None:
        body = {"kind": notice.kind, "subject": notice.subject, "over": not notice.text}
        body |= {"severity": notice.severity, "text": notice.text, "data": notice.data}
        with contextlib.suppress(TimeoutError):  # the core is busy with its disk: at the next look, then
            outlet.ask(Document("notice", os.urandom(8).hex(), body))

    def _of_devices(self, now_s: float) -> Iterator[Notice]:
        """What changed since the last look. Of a device that was taken out of the settings, everything is over."""
        devices = {device.name: device for device in self._settings().devices}
        for kind, name in self._open:
            if kind in OF_A_DEVICE and kind != BLOCKED and name not in devices:
                yield Notice(kind, name)
        for name, state in self._telemetry.devices().items():
            if device := devices.get(name):
                wanted = {one.kind: one for one in of_device(device, state, self._failing(name), now_s)}
                for kind in OF_A_DEVICE:
                    is_open = (kind, name) in self._open
                    if kind in wanted and not is_open:
                        yield wanted[kind]
                    elif kind not in wanted and is_open and (kind != BLOCKED or state.state == "running"):
                        yield Notice(kind, name)

    def _failing(self, name: str) -> bool:
        return self._failures(name, FAILURES_WITHIN_S) > FAILURES_MAX

    def _of_shelves(self, now_us: int) -> list[Notice]:
        weighed = [device for device in self._settings().devices if device.sku and not device.problem]
        if not weighed:
            return []
        from gateway.shelf_notices import notices  # half a megabyte, with what it needs

        return notices(weighed, self._settings().ledger.data_dir, now_us)


def of_device(device: Device, state: DeviceState, is_failing: bool, now_s: float) -> Iterator[Notice]:
    """What a person should know of this device just now."""
    name = device.name
    if state.state == "blocked":
        data = {"hardware": hardware_at(where(device))}
        yield Notice(BLOCKED, name, "critical", f"{name}: {state.text}", data)
    elif state.state == "muted":
        yield Notice("device_muted", name, "info", f"{name}: {state.text}")
    elif state.state == "waiting" and now_s - state.since_s >= GONE_AFTER_S:
        text = f"{name} cannot be read: {state.text}. When that is mended it continues by itself"
        if is_unplugged(device):
            text = f"{name} is not there: {state.text}. Plug it into the same port; it continues by itself"
        yield Notice("device_gone", name, "warning", text, {"since_us": state.since_us})
    if is_failing:
        text = (
            f"{name}: its driver ended more than {FAILURES_MAX} times in {FAILURES_WITHIN_S / 60:.0f} minutes"
        )
        yield Notice(
            "device_failing", name, "warning", f"{text}; its last words are in the log: {state.text}"
        )
