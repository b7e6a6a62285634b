"""The far end of a serial line: a pty whose near end has a fixed name, as /dev/serial/by-id gives one."""

import os
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from select import select

Answer = Callable[[bytes], bytes]


class PtyPeer:
    """Hands what the driver writes to `answer` and writes back what it returns, while it is plugged in."""

    def __init__(self, port: Path, answer: Answer) -> None:
        self.port = port
        self._answer = answer
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = -1, -1
        self._master = -1

    def plug(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self._wake_read, self._wake_write = os.pipe()
        self.port.symlink_to(os.ttyname(slave))
        self._thread = threading.Thread(target=self._serve, args=(self._master, slave, self._wake_read))
        self._thread.start()

    def unplug(self) -> None:
        if self._thread is None:
            return
        self.port.unlink()
        os.close(self._wake_write)
        self._thread.join()
        os.close(self._wake_read)
        self._thread = None

    def send(self, data: bytes) -> None:
        os.write(self._master, data)

    def _serve(self, master: int, slave: int, wake: int) -> None:
        """Until the wake pipe closes. Our own slave end stays open: the line lives without a driver."""
        while True:
            readable, _, _ = select([master, wake], [], [])
            if wake in readable:
                break
            if reply := self._answer(os.read(master, 1024)):
                os.write(master, reply)
        os.close(master)
        os.close(slave)
