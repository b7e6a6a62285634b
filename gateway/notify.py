"""What the service manager is told: READY, WATCHDOG, STOPPING, as plain datagrams (sd_notify(3))."""

import os
import socket


def notify(state: str) -> bool:
    """Send `state` ("READY=1") to $NOTIFY_SOCKET; whether there was anybody to tell."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
        try:
            datagrams.sendto(state.encode(), address)
        except OSError:
            return False  # a manager that does not listen must not stop the shop
    return True
