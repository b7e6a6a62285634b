"""`storekeeper devices ...`: pairing, monitor, check card, recordings; on ptys, with the real daemon."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.stock.check_card import GS1, HALVES
from tests.drivers.pty_peer import PtyPeer
from tests.system.shop import REPOSITORY, open_shop

CODE = "5901234123457"


def storekeeper(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "devices", *words],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def scanner(tmp_path: Path) -> Any:
    """A serial scanner, and a config.toml that names it."""
    peer = PtyPeer(tmp_path / "scanner", lambda request: b"")
    peer.plug()
    (tmp_path / "config.toml").write_text(
        f'[[device]]\nname = "door"\ndriver = "serial_scanner"\nport = "{peer.port}"\n'
    )
    yield peer
    peer.unplug()


def keep_sending(scanner: PtyPeer, codes: list[str], stop: threading.Event) -> threading.Thread:
    """Somebody who scans until the command has seen enough: it may take a moment to start."""

    def scan() -> None:
        while not stop.wait(0.5):
            for code in codes:
                scanner.send(f"{code}\r".encode())

    thread = threading.Thread(target=scan)
    thread.start()
    return thread


def test_the_card_is_read_and_the_remedy_told(tmp_path: Path, scanner: PtyPeer) -> None:
    command = storekeeper(
        "check-card", "--listen", "door", "--json", "--seconds", "20", "-c", f"{tmp_path}/config.toml"
    )
    assert command.stderr is not None
    assert "Scan the two long codes" in command.stderr.readline()

    for code in (f"#]C0{HALVES[0]}", f"#]C0{HALVES[1]}", "#]d2" + GS1.replace("\x1d", "")):
        scanner.send(f"{code}\r".encode())
        time.sleep(0.1)
    said, _ = command.communicate(timeout=120)

    verdict = json.loads(said)
    assert command.returncode == 1  # something is to be changed
    assert (verdict["aim"], verdict["separator"], verdict["settings"]) == (True, "lost", {"prefix": "#"})
    assert "drops the GS1 separator" in verdict["remedies"][0]


def test_a_recording_is_replayed_with_the_settings_of_the_device(tmp_path: Path, scanner: PtyPeer) -> None:
    file, config = str(tmp_path / "scans.bytes"), f"{tmp_path}/config.toml"
    recording = storekeeper("record", "door", "--seconds", "4", "-o", file, "-c", config)
    stop = threading.Event()
    thread = keep_sending(scanner, [CODE], stop)
    _, errors = recording.communicate(timeout=120)
    stop.set()
    thread.join()
    assert recording.returncode == 0, errors

    replayed, _ = storekeeper("replay", "door", file, "-c", config).communicate(timeout=120)

    lines = [json.loads(line) for line in replayed.splitlines()]
    assert lines
    assert all(line == {"type": "scan", "data": CODE} for line in lines[1:-1])
    assert 'driver = "serial_scanner"' in (tmp_path / "scans.toml").read_text()


def test_the_device_that_speaks_is_named_by_pressing_its_trigger(tmp_path: Path) -> None:
    with open_shop(tmp_path, scanners=("left", "right"), mode="look") as shop:
        shop.start()
        stop = threading.Event()

        def scan() -> None:
            while not stop.wait(0.3):
                shop.ports["right"].scan(CODE)

        thread = threading.Thread(target=scan)
        thread.start()
        paired = storekeeper("test", "-c", str(shop.config))
        other = storekeeper("test", "left", "--seconds", "3", "-c", str(shop.config))
        monitor = storekeeper("monitor", "right", "--seconds", "3", "-c", str(shop.config))
        said, _ = paired.communicate(timeout=120)
        silent, _ = other.communicate(timeout=120)
        seen, _ = monitor.communicate(timeout=120)
        stop.set()
        thread.join()

    assert said.startswith("right: ")
    assert (paired.returncode, other.returncode, silent) == (0, 1, "")
    assert CODE in seen


def test_a_device_that_the_daemon_holds_is_not_read_a_second_time(tmp_path: Path) -> None:
    with open_shop(tmp_path, scanners=("counter",)) as shop:
        shop.start()
        command = storekeeper("record", "counter", "-c", str(shop.config), "-o", str(tmp_path / "x"))

        _, errors = command.communicate(timeout=120)

    assert command.returncode == 5
    assert "held by another program" in errors
    assert not (tmp_path / "x.bytes").exists()


def test_an_unknown_name_is_answered_with_those_that_there_are(tmp_path: Path, scanner: PtyPeer) -> None:
    command = storekeeper("replay", "dor", __file__, "-c", f"{tmp_path}/config.toml")

    _, errors = command.communicate(timeout=120)

    assert command.returncode == 5
    assert 'there is no device "dor" in config.toml; there is door' in errors


def test_discovery_needs_no_settings_and_opens_nothing() -> None:
    command = storekeeper("discover", "--json")

    said, errors = command.communicate(timeout=120)

    assert command.returncode == 0, errors
    assert isinstance(json.loads(said), list)


def test_the_card_is_read_while_the_daemon_runs_and_nothing_of_it_is_booked(tmp_path: Path) -> None:
    with open_shop(tmp_path, scanners=("counter",)) as shop:
        shop.start()
        command = storekeeper(
            "check-card", "--listen", "counter", "--json", "--seconds", "20", "-c", str(shop.config)
        )
        assert command.stderr is not None
        assert "Scan the two long codes" in command.stderr.readline()
        for code in (f"]C0{HALVES[0]}", f"]C0{HALVES[1]}", f"]d2{GS1}"):
            shop.ports["counter"].scan(code)
            time.sleep(0.1)
        said, _ = command.communicate(timeout=120)
        parked = shop.rows("SELECT count(*) FROM parked")
        (code,) = shop.add_items(1)
        shop.ports["counter"].scan(code)
        shop.wait_until(lambda: shop.on_hand(code.zfill(14)) == -1, "it counts again")

    verdict = json.loads(said)
    assert (verdict["aim"], verdict["separator"], command.returncode) == (True, "kept", 0)
    assert parked == [(0,)]


def test_bytes_and_what_they_are_read_as_are_shown_while_they_are_booked(tmp_path: Path) -> None:
    with open_shop(tmp_path, scanners=("counter",)) as shop:
        shop.start()
        (code,) = shop.add_items(1)
        command = storekeeper("monitor", "counter", "--raw", "--seconds", "4", "-c", str(shop.config))
        assert command.stderr is not None
        assert "Use counter" in command.stderr.readline()
        shop.ports["counter"].scan(code)
        said, _ = command.communicate(timeout=120)
        shop.wait_until(lambda: shop.on_hand(code.zfill(14)) == -1, "it counts")

    assert f"{code}<CR><LF>" in said
    assert said.rstrip().endswith(f"  {code}")


def test_a_device_is_made_to_sound_and_one_that_is_not_there_is_said(tmp_path: Path) -> None:
    with open_shop(tmp_path, scanners=("counter",)) as shop:
        shop.start()
        heard = storekeeper("sound", "counter", "-c", str(shop.config))
        heard.communicate(timeout=120)
        tone = shop.ports["counter"].hear()
        other = storekeeper("sound", "door", "-c", str(shop.config))
        _, errors = other.communicate(timeout=120)

    assert heard.returncode == 0
    assert tone is not None and tone.startswith("mode")
    assert (other.returncode, "door is not running" in errors) == (5, True)
