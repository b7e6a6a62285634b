"""Which processes the settings want: a driver for each device, the pump, the pages. Taken up anew on SIGHUP.

Only what changed is started again: a device that is added, changed or taken away leaves its neighbours alone. All
but the devices (the name of the shop, ports, the line to the back office) is taken up at the next start.
"""

import contextlib
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

from gateway.addresses import bus_address, hint_address
from gateway.care import HARDWARE, KEPT_BLOCK
from gateway.config import Device, Settings, load
from gateway.errors import SettingsInvalid
from gateway.ledger.reading import connect, settings_below
from gateway.ledger.telemetry import Telemetry
from gateway.nursery import Spawn
from gateway.stock.stations import COMMAND_PREFIX
from gateway.supervisor import Supervisor

PUMP_NICE = 10


class Children:
    """`settle` tells the core which devices there are by now."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        telemetry: Telemetry,
        settle: Callable[[tuple[Device, ...]], None],
    ) -> None:
        self.settings = settings  # as they were taken up last
        self._supervisor = supervisor
        self._telemetry = telemetry
        self._settle = settle
        self._orders: dict[str, Spawn] = {}  # of the drivers
        self._confirmed: dict[str, str] = {}  # device -> the hardware that its owner confirmed
        self._blocked: dict[str, str] = {}  # device -> the hardware that is blocked
        self._one_at_a_time = threading.Lock()

    def want(self) -> None:
        """At the start: everything that the settings name."""
        settings, path = self.settings, str(self.settings.path)
        self._want_devices(settings)
        bus, hint = bus_address(settings), hint_address(settings)
        if settings.mqtt.enabled:
            self._telemetry.link("back office", "offline", "connecting")
            self._supervisor.want(Spawn("sync", "gateway.daemon:be_pump", [path, bus, hint], PUMP_NICE))
        else:
            self._telemetry.link("back office", "off", "no back office is set up")
        if settings.web.enabled:
            self._supervisor.want(Spawn("web", "gateway.daemon:be_pages", [path, bus, hint]))

    def want_anew_soon(self) -> None:
        """In a signal handler: the file is proven in another process, which takes a moment."""
        threading.Thread(target=self.want_anew, name="settings", daemon=True).start()

    def want_anew(self) -> None:
        """Read the settings again and take up what they say of the devices. A spoilt file changes nothing."""
        with self._one_at_a_time:
            try:
                loaded = load(self.settings.path)
            except SettingsInvalid as error:
                print(f"settings: {error}", file=sys.stderr, flush=True)
                return
            if loaded.problems:
                print(loaded.report(), file=sys.stderr, flush=True)
            before = {device.name for device in self.settings.devices}
            self.settings = loaded.settings
            self._settle(loaded.settings.devices)
            for name in before - {device.name for device in loaded.settings.devices}:
                self._drop(name)
                self._telemetry.device(name, "", "disabled", "no longer in the settings")
            self._want_devices(loaded.settings)

    def _want_devices(self, settings: Settings) -> None:
        bus = bus_address(settings)
        for device in settings.devices:
            name, driver = device.name, device.driver
            if device.problem:
                self._drop(name)
                self._telemetry.device(name, driver, "config_error", device.problem)
            elif not device.enabled:
                self._drop(name)
                self._telemetry.device(name, driver, "disabled", "switched off in the settings")
            else:
                till = _till(device, settings.shop.expired)
                args = [name, device.target or driver, device.options, bus, device.feedback, till]
                self._want_driver(Spawn(name, "drivers.host:main", args), driver)

    def _want_driver(self, order: Spawn, driver: str) -> None:
        if self._orders.get(order.name) != order:
            self._orders[order.name] = order
            self._telemetry.device(order.name, driver, "starting")
            self._supervisor.want(order, driver, lambda: [self._trust(order.name)])

    def _trust(self, name: str) -> list[str | None]:
        """What the ledger says now, for `drivers.trust.Trust`: the hardware that is confirmed, that is blocked."""
        with (
            contextlib.suppress(sqlite3.Error),  # of the disk: as it was at the start before
            closing(connect(self.settings.ledger.data_dir / "ledger.db")) as ledger,
        ):
            self._confirmed = settings_below(ledger, HARDWARE)
            self._blocked = settings_below(ledger, KEPT_BLOCK)
        return [self._confirmed.get(name), self._blocked.get(name)]

    def _drop(self, name: str) -> None:
        if self._orders.pop(name, None):
            self._supervisor.drop(name)


def _till(device: Device, expired: str) -> dict[str, Any]:
    """The fields of `drivers.forward.Forward`: which scans a till gets, and how."""
    if device.forward == "off":
        return {}
    booked = ["ok", "low", "negative", "unknown", *(["expired"] if expired == "warn" else [])]
    return {
        "when": device.forward,
        "to": device.forward_to,
        "layout": device.forward_layout,
        "terminator": device.forward_terminator,
        "never": COMMAND_PREFIX,
        "booked": booked,
    }
