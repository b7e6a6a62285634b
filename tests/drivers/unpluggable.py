"""A serial device on a pty that can be unplugged and plugged in again, at one path."""

import os
import pty
import select
import threading
import tty
from collections.abc import Callable
from pathlib import Path


class Unpluggable:
    """`answer(request_bytes) -> reply_bytes` plays the device; `say` sends without being asked."""

    def __init__(self, path: Path, answer: Callable[[bytes], bytes]) -> None:
        self.path = path
        self.heard = bytearray()
        self._answer = answer
        self.plug()

    def plug(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        self._unplugged = threading.Event()
        self._listener = threading.Thread(target=self._listen, args=(self._master, slave), daemon=True)
        self._listener.start()

    def unplug(self) -> None:
        """The far end hangs up: what reads the port gets an error."""
        self.path.unlink(missing_ok=True)
        self._unplugged.set()
        self._listener.join()

    def say(self, data: bytes) -> None:
        os.write(self._master, data)

    def _listen(self, master: int, slave: int) -> None:
        while not self._unplugged.is_set():
            if not select.select([master], [], [], 0.02)[0]:
                continue
            request = os.read(master, 4096)
            self.heard += request
            if reply := self._answer(request):
                os.write(master, reply)
        os.close(slave)
        os.close(master)
