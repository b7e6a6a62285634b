"""What can go wrong in a way that a person can mend, named after what should happen next.

A `Trouble` reaches its reader as text: place, what is, what would be right, remedy, and a code to search
for (`storekeeper help SK-C03`). Anything that is not a `Trouble` is our bug and ends the process.
"""

from typing import ClassVar


class Trouble(Exception):
    """Something a person can mend. `text` says place, what is, and the remedy; `code` is its help page."""

    exit_status: ClassVar[int] = 1

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code

    def __str__(self) -> str:
        return f"{self.text}  [{self.code}]" if self.code else self.text


class SettingsInvalid(Trouble):
    """config.toml must be changed, and there are no earlier settings to go on with."""

    exit_status = 3


class DaemonNotReachable(Trouble):
    """The command needs the running daemon. Start it, or say which config file it runs with."""

    exit_status = 4


class DeviceOrPermission(Trouble):
    """A device is not there, or this user may not open it."""

    exit_status = 5


class LedgerUnusable(Trouble):
    """The ledger cannot be opened or written: no file, another daemon holds it, damaged, disk full."""

    exit_status = 6
