"""When the core dies, its children die with it: the next core finds every device free."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from tests.system.shop import open_shop

FREE_WITHIN_S = 1.0


def seconds_until_free(port: str) -> float:
    """Until another program could have the line: drivers hold it by an exclusive lock."""
    began_s = time.monotonic()
    fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        while time.monotonic() - began_s < 10 * FREE_WITHIN_S:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.001)
            else:
                break
        return time.monotonic() - began_s
    finally:
        os.close(fd)


def test_devices_are_free_as_soon_as_the_core_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_shop(tmp_path / "shop", scanners=("counter", "stockroom", "door")) as shop:
        shop.start()

        shop.kill()
        waited_s = [seconds_until_free(scanner.port) for scanner in shop.ports.values()]

    with capsys.disabled():
        print(f"\n  the core killed: three devices free after {1000 * sum(waited_s):.0f} ms")
    assert sum(waited_s) < FREE_WITHIN_S
