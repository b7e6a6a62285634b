"""Bad bytes, missing ports, drivers that crash, hang or eat memory: said with the remedy, and nobody else notices."""

import contextlib
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.config import load
from gateway.supervisor import RSS_BYTES_MAX
from tests.system.shop import REPOSITORY, PtyScanner, Shop, ean13, open_shop
from tests.system.test_kills import assert_ledger_is_whole, is_below

NOT_READ = "garbled not read: scan again"
SOLD = re.compile(r"negative Item \d+: -\d+, please count shelf")


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """One running shop for all bad bytes: each test leaves it as it found it, or the next one fails."""
    with open_shop(tmp_path_factory.mktemp("faults") / "shop") as shop:
        shop.start()
        shop.codes = shop.add_items(3)
        yield shop


def send(shop: Shop, sent: bytes, name: str = "counter") -> None:
    os.write(shop.ports[name].master, sent)


def the_next_whole_line_is_read(shop: Shop) -> bool:
    shop.ports["counter"].scan(shop.codes[0])
    return SOLD.match(shop.ports["counter"].hear() or "") is not None


# Bad bytes


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"4006381333932\r\n", "garbled 4006381333932 has a wrong check digit"),
        (b"A" * 300 + b"\r\n", NOT_READ),
        (b"40063\x0781333931\r\n", NOT_READ),
        (b"\xff\xfe\x80\x81\x00\x1b\r\n", NOT_READ),
        (b"40063\xc3\x28\r\n", NOT_READ),
    ],
    ids=["wrong check digit", "a line too long", "a control character", "binary noise", "no UTF-8"],
)
def test_what_cannot_be_a_code_is_said_and_the_next_whole_line_is_read(counter, sent, said):
    booked = counter.rows("SELECT count(*) FROM movement")

    send(counter, sent)

    assert (counter.ports["counter"].hear() or "").startswith(said)
    assert counter.rows("SELECT count(*) FROM movement") == booked
    assert the_next_whole_line_is_read(counter)


def test_noise_without_an_end_is_bounded_and_over_with_the_next_line(counter):
    send(counter, bytes(range(128, 256)) * 200)
    counter.wait_until(lambda: not counter.ports["counter"].unread_bytes(), "the noise is read")
    send(counter, b"\r\n")

    assert (counter.ports["counter"].hear() or "").startswith("garbled")
    counter.ports["counter"].scan(counter.codes[0])
    counter.wait_until(
        lambda: SOLD.match(counter.ports["counter"].hear() or ""), "the next whole line is read"
    )


def test_bad_reads_are_counted_in_the_health_of_the_scanner(counter):
    def garbled() -> int:
        return counts(counter, "counter").get("garbled", 0)

    before = garbled()
    for _ in range(3):
        send(counter, b"\x07\r\n")
        assert counter.ports["counter"].hear() == NOT_READ

    counter.wait_until(lambda: garbled() >= before + 3, "three bad reads counted")


def test_an_unknown_code_is_parked_and_booked_on_naming_with_its_own_time(counter):
    code = ean13(4711)
    counter.ports["counter"].scan(code)
    assert counter.ports["counter"].hear() == f"unknown {code}: unknown, parked"
    ((parked_us,),) = counter.rows("SELECT wall_us FROM parked WHERE code = ?", code.zfill(14))
    time.sleep(1.1)

    said = counter.say("name_code", {"code": code.zfill(14), "sku": "honey", "name": "Honey"})

    assert (said.code, said.text) == ("ok", f"{code.zfill(14)} has a name; 1 parked scans booked")
    ((occurred_us, wall_us),) = counter.rows("SELECT occurred_us, wall_us FROM movement WHERE sku = 'honey'")
    assert occurred_us == parked_us < wall_us - 1_000_000
    assert the_next_whole_line_is_read(counter)


# Cables and ports


def counts(shop: Shop, device: str) -> dict[str, int]:
    import json

    return json.loads(telemetry(shop, device)[2])


def telemetry(shop: Shop, device: str) -> tuple[str, str, str]:
    """(state, text, counts) of a device, as the pages read it."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(f"file:{shop.folder}/telemetry.db?mode=ro", uri=True)) as known:
        row = known.execute(
            "SELECT state, text, counts FROM device_state WHERE device = ?", (device,)
        ).fetchone()
    return row or ("", "", "{}")


def state(shop: Shop, device: str) -> str:
    return telemetry(shop, device)[0]


def test_half_a_line_then_unplugged_books_nothing_and_the_scanner_is_back_by_itself(tmp_path):
    with open_shop(tmp_path / "shop", scanners=("counter", "door")) as shop:
        shop.start()
        (code,) = shop.add_items(1)

        send(shop, code[:7].encode())
        shop.wait_until(lambda: not shop.ports["counter"].unread_bytes(), "half a line is read")
        shop.ports["counter"].close()
        shop.wait_until(lambda: state(shop, "counter") == "waiting", "the unplugged scanner waiting")
        shop.ports["counter"] = PtyScanner(shop.folder, "counter")
        shop.wait_until(lambda: state(shop, "counter") == "running", "it is back")  # how soon: test_hot_plug
        shop.ports["counter"].scan(code)
        assert shop.ports["counter"].hear() == "negative Item 1: -1, please count shelf (no place)"
        shop.ports["door"].scan(code)

        assert shop.ports["door"].hear() == "negative Item 1: -2, please count shelf (no place)"
        assert shop.rows("SELECT count(*) FROM movement") == [(2,)]
        assert shop.rows("SELECT count(*) FROM parked") == [(0,)]
        shop.wait_until(lambda: counts(shop, "counter").get("garbled") == 1, "half a line counted")


def scans(shop: Shop, code: str, name: str = "counter") -> bool:
    """Pull the trigger; was there an answer?"""
    shop.ports[name].scan(code)
    return shop.ports[name].hear(0.3) is not None


def test_a_port_that_is_not_there_yet_is_waited_for_while_the_others_count(tmp_path):
    with open_shop(tmp_path / "shop", extra=device("late", f"{tmp_path}/late.tty")) as shop:
        shop.start()
        (code,) = shop.add_items(1)
        shop.wait_until(lambda: state(shop, "late") == "waiting", "the missing port said")
        assert "No such file" in telemetry(shop, "late")[1]
        shop.ports["counter"].scan(code)
        assert SOLD.match(shop.ports["counter"].hear() or "")

        late = PtyScanner(tmp_path, "late")
        shop.wait_until(lambda: state(shop, "late") == "running", "the port found")

        late.scan(code)
        assert SOLD.match(late.hear() or "")
        late.close()


def device(name: str, port: str, driver: str = "serial_scanner", more: str = 'reply = "text"') -> str:
    return f"""
[[device]]
name = "{name}"
driver = "{driver}"
mode = "sell"
location = "shop"
bounce_ms = 0
port = "{port}"
{more}
"""


def test_a_port_held_by_another_program_is_named_and_taken_when_it_is_free(tmp_path):
    import serial

    shop = Shop(tmp_path / "shop")
    try:
        holder = serial.Serial(shop.ports["counter"].port, exclusive=True)
        shop.start(wait=False)
        shop.wait_until(lambda: (tmp_path / "shop/telemetry.db").exists(), "the daemon")
        shop.wait_until(lambda: known(shop, "counter") == "waiting", "the port said to be taken")
        text = telemetry(shop, "counter")[1]
        holder.close()
        shop.wait_until(lambda: state(shop, "counter") == "running", "the port taken over")
    finally:
        shop.close()

    assert text == f"{shop.ports['counter'].port} is held by another program; stop that program"


def known(shop: Shop, name: str) -> str:
    import sqlite3

    with contextlib.suppress(sqlite3.Error):
        return state(shop, name)
    return ""


AS_NOBODY = """
import os, serial, sys
from drivers.host import main
from drivers.loading import load
load("serial_scanner")  # whoever we become may not read the libraries
os.setuid({nobody})
sys.exit(main("counter", "serial_scanner", {{"port": "{port}"}}, "{bus}"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody without permission")
def test_a_port_without_permission_says_which_group_is_missing_and_counts_once_it_has_one(tmp_path):
    """The driver's own main in a process of the user nobody: root may open everything.

    Just plugged in, a device is root's until udev has run: that must not stop it for ever.
    """
    from drivers.bus import Inlet, Status

    said: list[tuple[str, str]] = []
    with contextlib.closing(PtyScanner(tmp_path, "counter")) as scanner:
        port = Path(os.path.realpath(scanner.port))
        port.chmod(0o600)
        for folder in (tmp_path, *tmp_path.parents):
            if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
                folder.chmod(0o711)
        inlet = Inlet(f"ipc://{tmp_path}/bus")
        (tmp_path / "bus").chmod(0o777)
        nobody = pwd.getpwnam("nobody").pw_uid
        code = AS_NOBODY.format(nobody=nobody, port=scanner.port, bus=f"ipc://{tmp_path}/bus")
        driver = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
        deadline_s = time.monotonic() + 120
        while "running" not in dict(said) and time.monotonic() < deadline_s:
            if inlet.wait(0.2) and isinstance(message := inlet.receive()[1], Status):
                said.append((message.state, message.text))
                if message.state == "waiting":
                    port.chmod(0o666)
        driver.terminate()
        driver.wait(120)
        inlet.close()

    assert (
        "waiting",
        f"no permission on {scanner.port}; run: sudo usermod -aG dialout,input storekeeper"
        " && sudo systemctl restart storekeeper",
    ) in said
    assert said[-1] == ("running", "")


def test_a_mistake_in_one_device_s_section_stops_that_device_only(tmp_path):
    extra = device("typo", "/dev/null", more="bauds = 9600") + device(
        "nosuch", "/dev/null", driver="laser_cannon"
    )
    with open_shop(tmp_path / "shop", extra=extra) as shop:
        shop.start()
        (code,) = shop.add_items(1)
        shop.ports["counter"].scan(code)

        assert SOLD.match(shop.ports["counter"].hear() or "")
        shop.wait_until(lambda: state(shop, "typo") == "config_error", "the mistake shown")
        assert 'did you mean "baud"?' in telemetry(shop, "typo")[1]
        assert 'driver is "laser_cannon"' in telemetry(shop, "nosuch")[1]


# Drivers that misbehave

MISBEHAVES = '''"""A stranger's driver with three bugs, one for each word."""

import os
from dataclasses import dataclass

from drivers.contract import Scan


@dataclass(frozen=True, slots=True)
class Config:
    port: str = ""


class Driver:
    Config = Config

    def open(self, config):
        from drivers.transports import SerialTransport

        return SerialTransport(config.port, 9600)

    def decoder(self, config):
        return Decoder()


class Decoder:
    def feed(self, chunk, now_s):
        if b"crash" in chunk:
            return [1 // 0]
        if b"null" in chunk:
            import ctypes

            ctypes.string_at(0)
        if b"hang" in chunk:
            while True:
                pass
        if b"eat" in chunk:
            self.eaten = bytearray(os.urandom(4096) * (EAT_BYTES // 4096))
        return [Scan(line.decode()) for line in chunk.split() if line.isdigit()]

    def idle(self, now_s):
        return []
'''


WORDS = ("crash", "null", "eat", "hang")  # what a stranger's driver does
REPLACED_WITHIN_S = 300.0  # of itself: eat 10 s, hang three heartbeats of 5 s and then that look


@pytest.fixture
def shop_of_strangers(tmp_path):
    """A foreign driver, found by its entry point, on four devices beside a scanner of ours."""
    packages = tmp_path / "packages"
    info = packages / "acme_scanner-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-scanner\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[storekeeper.drivers]\nacme = acme_scanner:Driver\n")
    (packages / "acme_scanner.py").write_text(MISBEHAVES.replace("EAT_BYTES", str(RSS_BYTES_MAX)))
    strangers = {word: PtyScanner(tmp_path, word) for word in WORDS}
    extra = "".join(device(word, one.port, driver="acme", more="") for word, one in strangers.items())
    with open_shop(tmp_path / "shop", extra=extra, environment={"PYTHONPATH": str(packages)}) as shop:
        shop.start()
        for word in WORDS:
            shop.wait_until(lambda: state(shop, word) == "running", f"the foreign driver {word}")  # noqa: B023
        yield shop, strangers
    for one in strangers.values():
        one.close()


def child(shop: Shop, name: str) -> int:
    """The process id of the daemon's child of that name; 0 when there is none."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            named = folder.name.isdigit() and (folder / "comm").read_text() == f"sk:{name}\n"
            if named and is_below(int(folder.name), shop.daemon.pid):
                return int(folder.name)
    return 0


def test_drivers_that_crash_hang_or_eat_memory_are_started_again_and_their_neighbour_never_notices(
    shop_of_strangers, capsys
):
    shop, strangers = shop_of_strangers
    (code,) = shop.add_items(1)
    neighbour, old = child(shop, "counter"), {word: child(shop, word) for word in WORDS}
    replaced_s: dict[str, float] = {}
    waited_s: list[float] = []

    began_s = time.monotonic()
    for word, stranger in strangers.items():
        stranger.scan(word)
    while len(replaced_s) < len(WORDS):
        now_s = time.monotonic()
        for word in WORDS:
            if word not in replaced_s and child(shop, word) not in (old[word], 0):
                replaced_s[word] = now_s - began_s
        assert now_s - began_s < REPLACED_WITHIN_S, replaced_s
        shop.ports["counter"].scan(code)
        assert SOLD.match(shop.ports["counter"].hear() or "")
        waited_s.append(time.monotonic() - now_s)
        time.sleep(0.02)
    for word, stranger in strangers.items():
        before = shop.on_hand(code.zfill(14))
        shop.wait_until(lambda: sells(shop, stranger, code, before), f"{word} counting again")  # noqa: B023

    assert child(shop, "counter") == neighbour
    assert_ledger_is_whole(shop)
    waited_s.sort()
    with capsys.disabled():
        another = ", ".join(f"{word} {after_s:.1f} s" for word, after_s in replaced_s.items())
        print(
            f"\n  drivers that misbehave, another one after: {another}; {len(waited_s)} scans of their neighbour"
            f" meanwhile: {waited_s[len(waited_s) // 2] * 1000:.0f} ms (median), {waited_s[-1] * 1000:.0f} ms (worst)"
        )


def sells(shop: Shop, scanner: PtyScanner, code: str, before: int) -> bool:
    scanner.scan(code)
    time.sleep(0.2)
    return shop.on_hand(code.zfill(14)) < before


@pytest.mark.soak
def test_a_driver_that_is_stopped_by_somebody_is_replaced(tmp_path):
    """SIGSTOP: alive to the kernel, silent to the shop."""
    with open_shop(tmp_path / "shop", scanners=("counter", "door")) as shop:
        shop.start()
        (code,) = shop.add_items(1)
        old = child(shop, "door")

        os.kill(old, signal.SIGSTOP)
        shop.wait_until(lambda: child(shop, "door") not in (old, 0), "another driver")

        shop.wait_until(lambda: scans(shop, code, "door"), "the door counting again")


def test_strangers_on_the_bus_stop_nothing(counter):
    """Whatever comes in at the socket: noise, half a message, one frame too many."""
    import zmq

    from gateway.addresses import bus_address

    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 200)
    socket.connect(bus_address(load(counter.config).settings))
    for frames in ([b""], [b"\xff" * 50], [b"\x93\xa1d"], [b"a", b"b", b"c"], [os.urandom(300)]):
        socket.send_multipart(frames)
    socket.close()

    assert the_next_whole_line_is_read(counter)
