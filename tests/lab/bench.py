"""What the scenarios share: one guest that stays booted between them, its ledger disk, the settings they write."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.lab.guest import CONFIG, Guest, GuestFailed, wait_until
from tests.lab.image import Image
from tests.system.shop import ean13

LEDGER_DISK_MB = 1024
ITEMS = 200
CODES = [ean13(number) for number in range(1, ITEMS + 1)]
SCREENS = (
    "-device",
    "bochs-display,id=seat-a",
    "-device",
    "bochs-display,id=seat-b",
)  # a keyboard belongs to one


class Result(NamedTuple):
    """A line of the table."""

    what: str
    figure: str
    ok: bool


class Bench:
    def __init__(self, image: Image, folder: Path, say: Callable[[str], None], states: int) -> None:
        self.image = image
        self.folder = folder
        self.say = say
        self.states = states
        self.booted_s = 0.0
        self._guest: Guest | None = None
        self._guests = 0

    @property
    def guest(self) -> Guest:
        """Booted when it is first asked for, and again after one broke."""
        if self._guest is None:
            guest = self.new_guest(*SCREENS)
            self.booted_s = guest.start()
            self._guest = guest
        return self._guest

    def new_guest(self, *more: str) -> Guest:
        """Not started yet; with an empty disk for the ledger."""
        self._guests += 1
        folder = self.folder / f"guest-{self._guests}"
        folder.mkdir()
        return Guest(self.image, folder, ledger_disk(folder / "ledger.img", LEDGER_DISK_MB), *more)

    def drop_guest(self) -> None:
        if self._guest is not None:
            self._guest.kill()
            self._guest = None

    def evidence(self) -> str:
        """Of a guest that may hang: its last words."""
        if self._guest is None:
            return ""
        try:
            journal = self._guest.run("journalctl -u storekeeper -n 40 --no-pager; dmesg | tail -15", 30)
        except (GuestFailed, OSError) as error:
            journal = str(error)
        return f"--- journal\n{journal}\n--- console\n{self._guest.console()}"

    def close(self) -> None:
        self.drop_guest()


def ledger_disk(path: Path, size_mb: int, label: str = "ledger") -> Path:
    with path.open("wb") as file:
        file.truncate(size_mb * 1024**2)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", label, str(path)], check=True)
    return path


def open_shop(guest: Guest, *devices: str) -> None:
    """Settings with these devices, the daemon up with them, and a shop's worth of items."""
    guest.configure(settings(*devices))
    rows = [
        {"sku": code.zfill(14), "name": f"Item {at}", "price_minor": 100 + at, "codes": [[code.zfill(14), 1]]}
        for at, code in enumerate(CODES, 1)
    ]
    wait_until(lambda: takes(guest, rows), "the daemon answers on its bus", 120, 1.0)


def takes(guest: Guest, rows: list[dict[str, object]]) -> bool:
    try:
        return bool(guest.call("shop.say", kind="items", body={"rows": rows}) == "ok")
    except GuestFailed:
        return False


def settings(*devices: str) -> str:
    head = '[shop]\nname = "Lab"\n[ledger]\ndata_dir = "/var/lib/storekeeper"\nballast_mb = 1\n'
    return head + "".join(f"[[device]]\n{device.strip()}\n" for device in devices)


def states(guest: Guest) -> dict[str, str]:
    """Device -> state, as its card shows it."""
    return dict(guest.call("ledger.states"))


def wait_for_devices(guest: Guest, *names: str, state: str = "running", timeout_s: float = 120) -> None:
    wait_until(
        lambda: all(states(guest).get(name) == state for name in names),
        f"{', '.join(names)} {state}; {CONFIG}",
        timeout_s,
    )


def sold(guest: Guest, device: str) -> list[str]:
    """The codes that this device sold, in the order of the ledger."""
    rows = guest.rows("SELECT sku FROM movement WHERE device = ? AND kind = 'sale' ORDER BY seq", device)
    return [sku[1:] for (sku,) in rows]
