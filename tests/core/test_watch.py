"""What a person is told of devices: only what lasts, once, and that it is over."""

from pathlib import Path
from typing import Any

import pytest

from gateway.config import Device
from gateway.ledger.telemetry import DeviceState
from gateway.watch import of_device

SCANNER = Device("door", "hid_scanner", options={"path": "/dev/input/by-id/door"})
NOW_S = 10_000.0


def told(state: str, text: str = "", since_s: int = 0, failing: bool = False) -> list[tuple[str, str]]:
    device = DeviceState("hid_scanner", state, text, since_s=NOW_S - since_s)
    return [(one.kind, one.severity) for one in of_device(SCANNER, device, failing, NOW_S)]


@pytest.mark.parametrize(
    ("state", "since_s", "expected"),
    [
        ("running", 0, []),
        ("starting", 600, []),
        ("disabled", 600, []),
        ("waiting", 59, []),
        ("waiting", 60, [("device_gone", "warning")]),
        ("muted", 1, [("device_muted", "info")]),
        ("blocked", 1, [("device_blocked", "critical")]),
    ],
)
def test_only_what_lasts_or_is_dangerous_is_told(state: str, since_s: int, expected: list[Any]) -> None:
    assert told(state, since_s=since_s) == expected


def test_a_driver_that_ends_again_and_again_is_told_while_it_runs_as_well() -> None:
    assert told("running", failing=True) == [("device_failing", "warning")]


@pytest.mark.parametrize(
    ("is_there", "said"),
    [
        (False, "door is not there: {why}. Plug it into the same port; it continues by itself"),
        (True, "door cannot be read: {why}. When that is mended it continues by itself"),
    ],
)
def test_who_is_plugged_in_is_not_told_to_plug_it_in(is_there: bool, said: str, tmp_path: Path) -> None:
    path = tmp_path / "event7"
    if is_there:
        path.touch()
    device = Device("door", "hid_scanner", options={"path": str(path)})
    why = "no permission on /dev/input/event7; run: sudo usermod -aG dialout,input storekeeper"

    (notice,) = of_device(device, DeviceState("hid_scanner", "waiting", why), False, NOW_S)

    assert notice.text == said.format(why=why)
