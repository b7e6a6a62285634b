"""Where the bus is: the daemon binds it, commands and children find it from the same settings."""

import hashlib
import os
from pathlib import Path

from gateway.config import Settings

SOCKET_PATH_MAX = 90  # the kernel allows 107 bytes for a unix socket, ZeroMQ adds some


def run_dir(settings: Settings) -> Path:
    """Only its owner may enter: whoever can write to the bus can change stock."""
    beside = settings.ledger.data_dir / "run"
    if len(str(beside)) <= SOCKET_PATH_MAX:
        return beside
    import tempfile  # rarely

    short = hashlib.sha256(str(beside).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"storekeeper-{os.getuid()}-{short}"


def make_run_dir(settings: Settings) -> Path:
    path = run_dir(settings)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def bus_address(settings: Settings) -> str:
    """Readings go here, outcomes come back (ROUTER)."""
    return f"ipc://{run_dir(settings)}/bus"


def hint_address(settings: Settings) -> str:
    """What was committed, for whoever listens (PUB)."""
    return f"ipc://{run_dir(settings)}/hint"
