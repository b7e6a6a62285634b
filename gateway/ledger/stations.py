"""Where each scanner stands and in which mode it is: as just now, and as the ledger keeps it over a power cut."""

import sqlite3
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from drivers.contract import Scan
from gateway.config import Device
from gateway.ledger.writer import UNDO_ROWS_MAX, Batch
from gateway.stock.stations import HOME_AFTER_S, Station

KEPT = """SELECT device, mode, loc, state, max(since_us, coalesce((SELECT max(wall_us) FROM movement
      WHERE seq > (SELECT max(seq) FROM movement) - ? AND movement.device = station.device), 0))
    FROM station"""


class Stations:
    """One thread's. What a round changed is put back when the round is not on disk."""

    def __init__(self, devices: Iterable[Device], ledger: sqlite3.Connection, now_us: int) -> None:
        self.devices = {device.name: device for device in devices}
        self._now = self._kept(ledger, now_us)
        self._last_scan: dict[str, tuple[str, float]] = {}  # station -> (code, monotonic seconds)

    def of(self, name: str) -> Station:
        """A device that nobody configured (a page, a tool) is a station in look-up mode."""
        if name not in self._now:
            device = self.devices.get(name)
            mode, location = (device.mode, device.location) if device else ("look", "shop")
            self._now[name] = Station.at_home(name, mode, location)
        return self._now[name]

    def change(self, station: Station, batch: Batch, earlier: dict[str, Station]) -> None:
        """It is in another state; kept when that must survive. How it was before goes into `earlier`, once."""
        before = self._now.get(station.device)
        if before is station or before == station:
            return
        self._now[station.device] = station
        if before is not None:
            earlier.setdefault(station.device, before)
        if before is None or _on_disk(before) != _on_disk(station):
            batch.stations[station.device] = station

    def put_back(self, earlier: dict[str, Station]) -> None:
        """The round was not booked: a scanner that changed its mode by it is in the mode it was in."""
        self._now.update(earlier)

    def take_up(self, devices: Iterable[Device], batch: Batch) -> None:
        """A scanner whose home is another begins there; the others stay in the mode they are in."""
        self.devices = {device.name: device for device in devices}
        for name, station in list(self._now.items()):
            device = self.devices.get(name)
            if device and (device.mode, device.location) != (station.home_mode, station.home_location):
                fresh = Station.at_home(name, device.mode, device.location)
                self._now[name] = batch.stations[name] = fresh

    def idle_s(self, name: str, now_s: float) -> float:
        """For how long nothing was scanned there; 0 when nothing ever was."""
        _, last_s = self._last_scan.get(name, ("", now_s))
        return now_s - last_s

    def typed(self, name: str, now_s: float) -> None:
        """It is in use; a typed code never bounces."""
        self._last_scan[name] = ("", now_s)

    def is_bounce(self, name: str, scan: Scan, now_s: float) -> bool:
        """The very previous reading was the same code, milliseconds ago: the trigger bounced."""
        known = self.devices.get(name)
        data, last_s = self._last_scan.get(name, ("", now_s))
        self._last_scan[name] = (scan.data, now_s)
        return known is not None and data == scan.data and now_s - last_s < known.bounce_ms / 1000

    def _kept(self, ledger: sqlite3.Connection, now_us: int) -> dict[str, Station]:
        """Modes survive a power cut, but not a night: who was away for longer begins at home."""
        stations = {}
        oldest_us = now_us - int(HOME_AFTER_S * 1_000_000)
        for name, mode, location, state, used_us in ledger.execute(KEPT, (UNDO_ROWS_MAX,)):
            if (device := self.devices.get(name)) and used_us >= oldest_us:
                home = Station.at_home(name, device.mode, device.location)
                kept = msgspec.json.decode(state, type=dict[str, str])
                stations[name] = replace(
                    home, mode=mode, location=location, reason=kept["reason"], destination=kept["destination"]
                )
        return stations


def _on_disk(station: Station) -> tuple[str, str, str, str]:
    """What of a station is kept."""
    return station.mode, station.location, station.reason, station.destination
