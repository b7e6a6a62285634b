"""The listening socket: the port of the settings, or the next free one, and who has the first."""

import socket
from pathlib import Path

PORTS_TRIED = 20


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A bound, listening socket, and a sentence when it is not on the port asked for ("" when it is).

    Raises OSError when none of `PORTS_TRIED` ports is free.
    """
    for candidate in range(port, port + PORTS_TRIED):
        try:
            bound = _bind(host, candidate)
        except OSError:
            if candidate == port + PORTS_TRIED - 1:
                raise
            continue
        if candidate == port or port == 0:
            return bound, ""
        return bound, f"{port} is used by {who_listens(port)}; using {candidate}"
    raise AssertionError("unreachable: the last candidate returns or raises")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound


def who_listens(port: int) -> str:
    """`"node" (pid 812)`, as far as this user may look."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        if inodes and _holds(process, inodes):
            return f'"{(process / "comm").read_text().strip()}" (pid {process.name})'
    return "another program"


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rsplit(":", 1)[1], 16) == port:
                found.add(f"socket:[{columns[9]}]")
    return found


def _holds(process: Path, inodes: set[str]) -> bool:
    try:
        return any(str(descriptor.readlink()) in inodes for descriptor in (process / "fd").iterdir())
    except OSError:
        return False  # gone meanwhile, or another user's
