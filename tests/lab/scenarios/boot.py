"""The unit is active after a boot, installer and doctor find nothing to do, the first scanner ever seen works."""

from collections import Counter
from collections.abc import Iterator

from tests.lab.bench import CODES, Bench, Result, open_shop, wait_for_devices
from tests.lab.guest import CONFIG, STOREKEEPER, wait_until
from tests.lab.scanners import SerialScanner, serial_device

INSTALL = "/usr/src/storekeeper/systemd/install.sh"
RULES = "/etc/udev/rules.d/70-storekeeper.rules"
PORT = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_FIRST-if00-port0"
VERDICTS = ("ok ", "warn ", "fail ")


def run(bench: Bench) -> Iterator[Result]:
    guest = bench.guest
    kernel = guest.run("uname -r").strip()
    wait_until(
        lambda: guest.try_run("systemctl is-active storekeeper")[0] == 0, "the unit is active", 180, 1.0
    )
    active_s = float(guest.run("cut -d' ' -f1 /proc/uptime"))
    yield Result(
        f"boots Debian's kernel {kernel}, our unit active",
        f"agent after {bench.booted_s:.0f} s, unit after {active_s:.0f} s",
        True,
    )

    said = guest.run(INSTALL, 300)
    yield Result("install.sh again", said.splitlines()[1].strip(), "nothing: everything" in said)

    guest.run(f"rm {RULES}; systemctl -q disable --now storekeeper")
    changed = [line for line in guest.run(INSTALL, 300).splitlines() if line[:2] == "  " != line[1:3]]
    active = guest.try_run("systemctl is-active storekeeper")[0] == 0
    yield Result(
        "install.sh after rules and unit were undone",
        f"{len(changed)} changes, the unit {'active' if active else 'not active'}",
        active and len(changed) == 5,
    )

    _, said = guest.try_run(f"{STOREKEEPER} doctor -c {CONFIG}", 300)
    verdicts = Counter(line.split()[0] for line in said.splitlines() if line.startswith(VERDICTS))
    figure = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    yield Result("storekeeper doctor", figure, verdicts["ok"] > 10 and not verdicts["fail"])

    open_shop(guest, serial_device("first", PORT))
    loaded = guest.run("grep -c ttyUSB /proc/devices || true").strip()
    scanner = SerialScanner(guest, "first", 2, "FIRST")
    scanner.plug()
    wait_for_devices(guest, "first")
    answer = scanner.scan_all(CODES[:1])[0]
    scanner.unplug()
    yield Result(
        "the first USB scanner that this machine ever sees, plugged in after the start",
        f"{answer.split(' ')[0]} (kinds of ttyUSB known before: {loaded})",
        answer.startswith(("ok ", "negative ")),
    )
