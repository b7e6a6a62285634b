"""A driver that is told to go, goes: however quiet its device is, and with what is under way acknowledged."""

import os
import pty
import time
import tty
from pathlib import Path

from drivers.contract import Scan
from drivers.host import IDLE_FOR_S, QUIET_POLL_S
from tests.drivers.desk import Desk


def test_a_driver_whose_device_is_quiet_leaves_at_once(tmp_path: Path) -> None:
    lines, desks, took_s = [], [], []
    for name in ("one", "two", "three"):
        lines.append(pty.openpty())
        tty.setraw(lines[-1][1])
        (tmp_path / name).mkdir()
        desks.append(Desk(tmp_path / name, "serial_scanner", port=os.ttyname(lines[-1][1])))
    for desk in desks:
        desk.serve(lambda desk: "running" in desk.states)
    time.sleep(IDLE_FOR_S + 0.5)  # from now on they sleep QUIET_POLL_S at a time

    for desk in desks:
        began_s = time.monotonic()
        assert desk.close() == 0
        took_s.append(time.monotonic() - began_s)

    assert sorted(took_s)[1] < QUIET_POLL_S / 2  # the machine of a test run is shared: one may be late
    for master, slave in lines:
        os.close(master)
        os.close(slave)


def test_a_scan_that_was_read_is_acknowledged_before_its_driver_leaves(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    desk = Desk(tmp_path, "serial_scanner", port=os.ttyname(slave), reply="beep")
    desk.serve(lambda desk: "running" in desk.states)

    os.write(master, b"4006381333931\r\n")
    time.sleep(0.2)  # read and sent; nobody has answered
    assert desk.close() == 0

    assert [one.data for one in desk.of(Scan)] == ["4006381333931"]
    os.close(master)
    os.close(slave)
