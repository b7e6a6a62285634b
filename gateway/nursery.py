"""A small process that forks children on request, so that they share what was imported before the fork.

It is forked from the daemon before any thread, socket or database connection exists. Its children die
with it, and it dies with the daemon.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

PRELOAD = ("zmq", "drivers.bus", "drivers.host", "drivers.loading", "serial", "sqlite3")
MESSAGE_BYTES_MAX = 65_536
PR_SET_PDEATHSIG = 1


class Spawn(msgspec.Struct, frozen=True, array_like=True):
    """Daemon -> nursery: fork a child that calls `target` ("package.module:function") with `args`."""

    name: str
    target: str
    args: list[Any]
    nice: int = 0


class Born(msgspec.Struct, frozen=True, array_like=True, tag="born"):
    name: str
    pid: int


class Died(msgspec.Struct, frozen=True, array_like=True, tag="died"):
    """`status` is the exit code, or minus the signal's number."""

    pid: int
    status: int


_encode = msgspec.msgpack.Encoder().encode
_decode_news = msgspec.msgpack.Decoder(Born | Died).decode
_decode_spawn = msgspec.msgpack.Decoder(Spawn).decode


class Nursery:
    """The daemon's end."""

    def __init__(self, children_import: Iterable[str] = ()) -> None:
        """Fork it. Call before threads, sockets and database connections exist.

        It imports `children_import` once for those that need it, and never into the daemon.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _in_child(lambda: _serve(theirs, children_import))
        theirs.close()
        self._socket = ours

    def spawn(self, order: Spawn) -> None:
        self._socket.send(_encode(order))

    def news(self, timeout_s: float) -> list["Born | Died"]:
        """What happened, waiting at most `timeout_s` for the first of it. Raises EOFError when it is dead."""
        found: list[Born | Died] = []
        while select.select([self._socket], [], [], 0 if found else timeout_s)[0]:
            message = self._socket.recv(MESSAGE_BYTES_MAX)
            if not message:
                raise EOFError("the nursery is dead")
            found.append(_decode_news(message))
        return found

    def close(self) -> None:
        """It ends when its socket is closed, and its children end with it."""
        self._socket.close()


def preload(names: Iterable[str] = PRELOAD) -> None:
    """Import what most children need, before the nursery is forked: then the daemon shares it, too."""
    for name in names:
        with contextlib.suppress(ImportError):  # the driver that needs it will say so
            importlib.import_module(name)
    gc.freeze()  # a collection writes to every object that it looks at: five megabytes more in each child
    gc.enable()


def _serve(orders: socket.socket, children_import: Iterable[str]) -> None:
    preload(children_import)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the whole group: the daemon decides when we end
    wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    watched: list[socket.socket | int] = [orders, wake_r]
    while True:
        ready = select.select(watched, [], [])[0]
        if wake_r in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_r, 4096)
            _bury(orders)
        if orders in ready:
            message = orders.recv(MESSAGE_BYTES_MAX)
            if not message:
                return
            order = _decode_spawn(message)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                orders.close()
                _in_child(partial(_be, order))
            orders.send(_encode(Born(order.name, pid)))


def _bury(orders: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        orders.send(_encode(Died(pid, os.waitstatus_to_exitcode(status))))


def _be(order: Spawn) -> int:
    os.nice(order.nice)
    ctypes.CDLL(None).prctl(15, f"sk:{order.name}"[:15].encode(), 0, 0, 0)  # PR_SET_NAME, for ps and top
    module, _, function = order.target.partition(":")
    return int(getattr(importlib.import_module(module), function)(*order.args) or 0)


def _in_child(work: Callable[[], int | None]) -> None:
    """Run `work` and end the process with its status; never return into the parent's code."""
    status = 70
    try:
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(70)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        status = int(work() or 0)
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
