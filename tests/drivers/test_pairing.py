"""Press the trigger: the found device that speaks is named, added and counts; a strange keyboard is not even heard.

The found devices are ptys and pipes under a root of /dev and /sys of their own.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.typed_keys import Stroke, input_records, strokes
from gateway.listening import candidates, shown
from gateway.plugged import strangers
from tests.drivers.pty_peer import PtyPeer
from tests.system.shop import REPOSITORY, open_shop
from tests.system.test_settings_anew import state_of

CODE = "5901234123457"
WINDOWS_KEY, R = 125, 19


class Box:
    """A machine with two serial scanners, a keyboard that calls itself a scanner, and one that does not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.left, self.right = (self._line(name, port) for name, port in (("left", "1.2"), ("right", "1.3")))
        self.wedge, self.keyboard = (self._keys(number) for number in (3, 4))
        for number, name in ((3, "Datalogic QuickScan"), (4, "USB Keyboard")):
            self._text(f"sys/class/input/event{number}/device/name", name)

    def _line(self, name: str, port: str) -> PtyPeer:
        peer = PtyPeer(self.root / name, lambda request: b"")
        peer.plug()
        link = self.root / f"dev/serial/by-path/platform-usb-0:{port}:1.0"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.root / name)
        return peer

    def _keys(self, number: int) -> int:
        node = self.root / f"dev/input/event{number}"
        node.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(node)
        link = self.root / f"dev/input/by-path/platform-usb-0:2.{number}:1.0-event-kbd"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(node)
        return os.open(node, os.O_RDWR)

    def _text(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(f"{text}\n")

    def types(self, keys: int, code: str) -> None:
        os.write(keys, b"".join(input_records(strokes(code, "us", "enter"))))

    def close(self) -> None:
        self.left.unplug()
        self.right.unplug()
        os.close(self.wedge)
        os.close(self.keyboard)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    box = Box(tmp_path / "box")
    yield box  # type: ignore[misc]
    box.close()


def storekeeper(box: Box, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "devices", *words],
        cwd=REPOSITORY,
        env={**os.environ, "STOREKEEPER_SYS_ROOT": str(box.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def while_somebody(does: Callable[[], object], command: subprocess.Popen[str]) -> list[str]:
    """The lines of the command, while a person does this again and again."""
    stop = threading.Event()

    def again() -> None:
        while not stop.wait(0.3):
            does()

    thread = threading.Thread(target=again)
    thread.start()
    said, _ = command.communicate(timeout=120)
    stop.set()
    thread.join()
    return said.splitlines()


def test_the_scanner_whose_trigger_is_pulled_is_named(box: Box, tmp_path: Path) -> None:
    command = storekeeper(box, "pair", "--seconds", "3", "--json", "-c", str(tmp_path / "none.toml"))

    lines = [
        json.loads(line) for line in while_somebody(lambda: box.right.send(f"{CODE}\r".encode()), command)
    ]

    assert {line["identity"] for line in lines} == {"serial@1.3"}
    assert (lines[-1]["what"], lines[-1]["driver"]) == (CODE, "serial_scanner")


def test_a_scale_is_told_from_a_scanner_by_what_it_says(box: Box, tmp_path: Path) -> None:
    command = storekeeper(box, "pair", "--seconds", "3", "--json", "-c", str(tmp_path / "none.toml"))

    lines = while_somebody(lambda: box.left.send(b"ST,GS,+0001.260kg\r\n"), command)

    assert json.loads(lines[-1])["driver"] == "scale_header_line"


def test_an_unknown_keyboard_is_not_listened_to_until_it_is_named(box: Box, tmp_path: Path) -> None:
    def types() -> None:
        box.types(box.keyboard, CODE)

    config = str(tmp_path / "none.toml")
    silent = while_somebody(types, storekeeper(box, "pair", "--seconds", "2", "-c", config))
    while select_readable(box.keyboard):
        os.read(box.keyboard, 65_536)
    words = ["pair", "--seconds", "3", "--json", "--keyboard", "keyboard@2.4", "-c", config]
    named = while_somebody(types, storekeeper(box, *words))

    assert silent == []
    assert json.loads(named[-1])["what"] == CODE


def select_readable(fd: int) -> bool:
    import select

    return bool(select.select([fd], [], [], 0)[0])


def test_a_found_keyboard_that_types_what_no_scanner_types_is_blocked_and_alerted(
    box: Box, tmp_path: Path
) -> None:
    with open_shop(tmp_path / "shop", scanners=("counter",)) as shop:
        shop.start()
        command = storekeeper(box, "pair", "--seconds", "3", "--json", "-c", str(shop.config))
        attack = b"".join(input_records([Stroke(R, WINDOWS_KEY)]))

        lines = [json.loads(line) for line in while_somebody(lambda: os.write(box.wedge, attack), command)]
        alerts = shop.rows("SELECT kind, subject, severity FROM alert")

    assert lines[-1]["blocked"]
    assert alerts == [("device_blocked", "hid_scanner@2.3", "critical")]


def test_what_was_found_is_added_and_counts_a_second_later(box: Box, tmp_path: Path) -> None:
    with open_shop(tmp_path / "shop", scanners=("counter",)) as shop:
        shop.start()
        (code,) = shop.add_items(1)
        words = ["--name", "door", "--driver", "serial_scanner", "--mode", "receive", "--location", "shop"]
        command = storekeeper(box, "add", "serial@1.2", *words, "-c", str(shop.config))
        said, errors = command.communicate(timeout=120)
        shop.wait_until(lambda: state_of(shop, "door") == "running", "it runs")
        box.left.send(f"{code}\r".encode())
        shop.wait_until(lambda: shop.on_hand(code.zfill(14)) == 1, "it counts")
        confirmed = shop.rows("SELECT key FROM setting WHERE key LIKE 'hardware/%'")

    assert (command.returncode, errors, said) == (0, "", f"door is in {shop.config}\n")
    assert confirmed == [("hardware/door",)]


def test_a_name_that_is_taken_is_refused_with_the_section_to_write(box: Box, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[[device]]\nname = "door"\ndriver = "serial_scanner"\nport = "/dev/ttyUSB7"\n')
    command = storekeeper(
        box, "add", "serial@1.2", "--name", "door", "--driver", "serial_scanner", "-c", str(config)
    )

    _, errors = command.communicate(timeout=120)

    assert command.returncode == 1
    assert "this name is taken" in errors
    assert 'name = "door"' in errors


def test_nobody_listens_to_a_keyboard_that_may_be_the_owners(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOREKEEPER_SYS_ROOT", str(box.root))
    seen = strangers(())

    assert [one.identity for one in candidates(seen)] == ["hid_scanner@2.3", "serial@1.2", "serial@1.3"]
    assert "keyboard@2.4" in [one.identity for one in candidates(seen, ["keyboard@2.4"])]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"590\r\n", "590<CR><LF>"),
        (b"\x0200\x03", "<STX>00<ETX>"),
        (b"\xbb\x02\x22", "bb 02 22"),
        (b"1" * 60, f"{'1' * 48} …"),
    ],
)
def test_bytes_are_shown_as_text_where_they_are_text(data: bytes, text: str) -> None:
    assert shown(data) == text
