"""What commands that read or tell need: the ledger read-only, a word with the daemon, times for programs."""

import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.config import Settings, find, load
from gateway.errors import DaemonNotReachable, LedgerUnusable
from gateway.ledger import queries


def opened(config: Path | None) -> tuple[Settings, sqlite3.Connection]:
    """The settings and the ledger they name, read-only. Raises SettingsInvalid, LedgerUnusable."""
    settings = load(find(config)).settings
    path = settings.ledger.data_dir / "ledger.db"
    if not path.exists():
        raise LedgerUnusable(f"{path}: there is no ledger yet; it is made by the first: storekeeper run")
    ledger = queries.connect(path)
    try:
        queries.last_seq(ledger)
    except sqlite3.DatabaseError as error:
        raise LedgerUnusable(f"{path} cannot be read: {error}. storekeeper doctor says more") from error
    return settings, ledger


def telemetry(settings: Settings) -> sqlite3.Connection | None:
    """The second file; None while there is none."""
    path = settings.ledger.data_dir / "telemetry.db"
    return queries.connect(path) if path.exists() else None


def forecasts(settings: Settings) -> sqlite3.Connection | None:
    """What the models worker expects; None while it has never run."""
    path = settings.ledger.data_dir / "forecast.db"
    return queries.connect(path) if path.exists() else None


def tell(settings: Settings, kind: str, body: dict[str, Any]) -> tuple[str, str]:
    """Hand the daemon a document: outcome code and text, after the commit. Raises DaemonNotReachable."""
    from drivers.bus import Outlet
    from drivers.contract import Document
    from gateway.addresses import bus_address

    outlet = Outlet(bus_address(settings), "cli", os.urandom(6).hex())
    try:
        outcome = outlet.ask(Document(kind, os.urandom(8).hex(), body))
    except TimeoutError:
        raise DaemonNotReachable(
            "the daemon does not answer: is it running? storekeeper run, or systemctl status storekeeper"
        ) from None
    finally:
        outlet.close()
    return outcome.code, outcome.text


def utc(us: int | None) -> str | None:
    """Microseconds since 1970 as RFC 3339 text, for programs; None stays None."""
    return None if us is None else datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="milliseconds")


def local(us: int, settings: Settings) -> str:
    """The same as the shop's clock shows it, for people."""
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(us / 1e6, ZoneInfo(settings.shop.timezone)).strftime("%d %b %H:%M")
