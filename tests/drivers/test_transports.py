"""Devices that go, or refuse, while they are opened: tried again, and no fault of their driver."""

import os
import pty
import threading
import tty

import pytest

from drivers.contract import DeviceGone
from drivers.transports import EvdevTransport, SerialTransport

OPENINGS = 300


def open_while_it_is_pulled() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)
    pulling = threading.Thread(target=os.close, args=(master,))
    pulling.start()
    try:
        SerialTransport(name, 9600).close()
    except DeviceGone:
        return
    finally:
        pulling.join()


def test_a_port_that_is_pulled_while_it_is_opened_never_ends_its_driver() -> None:
    for _ in range(OPENINGS):
        open_while_it_is_pulled()


def test_what_cannot_be_grabbed_is_not_said_to_be_held_by_somebody() -> None:
    with pytest.raises(DeviceGone, match="/dev/null: Inappropriate ioctl for device"):
        EvdevTransport("/dev/null")
