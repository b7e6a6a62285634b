"""A core that is busy for a moment makes the driver stop reading; what waits in the kernel meanwhile is no noise."""

import json
import os
import pty
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path

from drivers.bus import UNACKNOWLEDGED_MAX, Acks, Delivery, Hello, Inlet, Late
from drivers.contract import Outcome, Scan

MAIN = "import sys, json; from drivers.host import main; sys.exit(main(*json.loads(sys.argv[1])))"
SCANS = 3 * UNACKNOWLEDGED_MAX
BUSY_S = 1.2  # longer than half a line may be old


def write(fd: int, data: bytes) -> None:
    """In pieces that end in mid-line."""
    while data:
        data = data[os.write(fd, data[:1000]) :]


def test_a_code_cut_by_a_busy_moment_of_the_core_is_read_whole(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    address = f"ipc://{tmp_path}/bus"
    inlet = Inlet(address)
    arguments = json.dumps(["counter", "serial_scanner", {"port": os.ttyname(slave)}, address])
    driver = subprocess.Popen([sys.executable, "-c", MAIN, arguments])
    lines = b"".join(b"%012d\r\n" % number for number in range(SCANS))
    feeder = threading.Thread(target=write, args=(master, lines), daemon=True)
    read: list[object] = []
    busy_until_s = 0.0
    deadline_s = time.monotonic() + 120
    waiting: list[tuple[bytes, Delivery]] = []
    try:
        while len(read) < SCANS and time.monotonic() < deadline_s:
            inlet.wait(0.05)
            while (received := inlet.receive()) is not None:
                peer, message = received
                if isinstance(message, Hello):
                    inlet.send(peer, Late([]))
                    time.sleep(2.0)  # the port is open by then
                    feeder.start()
                elif isinstance(message, Delivery) and message.first_seq > len(read) + sum(
                    len(one.readings) for _, one in waiting
                ):
                    busy_until_s = busy_until_s or time.monotonic() + BUSY_S
                    waiting.append((peer, message))
            if time.monotonic() < busy_until_s:
                continue
            for peer, delivery in waiting:
                read += delivery.readings
                answers = [Outcome("ok")] * len(delivery.readings)
                inlet.send(peer, Acks(delivery.boot, delivery.first_seq, answers))
            waiting = []
    finally:
        driver.kill()
        driver.wait()
        inlet.close()
        os.close(master)
        os.close(slave)

    assert [one for one in read if not isinstance(one, Scan)] == []
    assert len(read) == SCANS
