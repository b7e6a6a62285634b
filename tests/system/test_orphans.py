"""When the core dies, its children die with it: the next core finds every device free."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from tests.system.shop import open_shop


def is_free(port: str) -> bool:
    """Whether another program could have the line: drivers hold it by an exclusive lock."""
    fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def test_devices_are_free_as_soon_as_the_core_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_shop(tmp_path / "shop", scanners=("counter", "stockroom", "door")) as shop:
        shop.start()

        ports = [scanner.port for scanner in shop.ports.values()]
        assert not any(map(is_free, ports))

        began_s = time.monotonic()
        shop.kill()
        shop.wait_until(lambda: all(map(is_free, ports)), "every device is free")
        waited_s = time.monotonic() - began_s

    with capsys.disabled():
        print(f"\n  the core killed: three devices free after {1000 * waited_s:.0f} ms")
