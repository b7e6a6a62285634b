"""Words about devices and notices, as documents on the bus: what they change in the ledger, whom they reach.

device    {"name", "do": identify | free | confirm | tap | untap, ...}   a word to one driver
hardware  {"identity", "is": "ignored" | ""}                             what was found, and is not wanted
notice    {"kind", "subject", "severity", "text", "data"}, or "over": true
settings  {}                                                             config.toml was changed: read it again
"""

import os
import signal
from typing import Any

from drivers.bus import Command
from drivers.contract import Outcome
from gateway.ledger.master import Statement
from gateway.ledger.writer import AlertClosed, AlertRaised, Batch

KINDS = ("device", "hardware", "notice", "settings")
DEVICE_WORDS = ("identify", "free", "confirm", "tap", "untap")
BLOCKED = "device_blocked"  # the kind of the alert
KEEP = "INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)"
FORGET = "DELETE FROM setting WHERE key = ?"
HARDWARE, IGNORED = "hardware/", "ignored/"  # keys: of a device's name, of an identity
KEPT_BLOCK = "blocked/"  # of a device's name: the hardware that is not read until a person frees it


def heed(kind: str, body: dict[str, Any], batch: Batch) -> tuple[Outcome, Command | None]:
    """What to answer, and the word for the driver of `body["name"]`. The ledger's part goes into `batch`."""
    if kind == "device":
        return _device(str(body["name"]), str(body["do"]), body, batch)
    if kind == "hardware":
        key = f"{IGNORED}{body['identity']}"
        batch.statements.append((KEEP, (key, "yes")) if body["is"] == "ignored" else (FORGET, (key,)))
    elif kind == "notice":
        batch.alerts.append(_notice(body))
    else:
        os.kill(os.getpid(), signal.SIGHUP)  # as `systemctl reload` does
        return Outcome("shown", "reading the settings again"), None
    return Outcome("ok"), None


def keep_block(name: str, hardware: str) -> Statement:
    """It stays blocked when its driver, the daemon or the machine starts again, until a person frees it."""
    return KEEP, (f"{KEPT_BLOCK}{name}", hardware)


def _device(name: str, do: str, body: dict[str, Any], batch: Batch) -> tuple[Outcome, Command | None]:
    if do not in DEVICE_WORDS:
        return Outcome(
            "refused", f"{do!r} is no word to a device; use one of: {', '.join(DEVICE_WORDS)}"
        ), None
    if do not in ("free", "confirm"):
        return Outcome("shown"), Command(do, body)
    batch.alerts.append(AlertClosed(BLOCKED, name))
    batch.statements.append((FORGET, (f"{KEPT_BLOCK}{name}",)))
    if do == "confirm":
        batch.statements.append((KEEP, (f"{HARDWARE}{name}", str(body["hardware"]))))
    return Outcome("ok", f"{name} counts"), Command(do)


def _notice(body: dict[str, Any]) -> AlertRaised | AlertClosed:
    kind, subject = str(body["kind"]), str(body["subject"])
    if body.get("over"):
        return AlertClosed(kind, subject)
    return AlertRaised(kind, subject, str(body["severity"]), str(body["text"]), dict(body["data"]))
