"""What is plugged in, and which of it is a device of the settings already."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from drivers.discover import Found, discover
from gateway.config import Device

WAYS = ("port", "path")  # the options of drivers that say where a device is


def where(device: Device) -> str:
    """The device file of its settings; "" for what has none."""
    return next((str(device.options[way]) for way in WAYS if device.options.get(way)), "")


def is_unplugged(device: Device) -> bool:
    """Whether its device file is gone, so that plugging it in is the remedy. Of one on the network nobody knows."""
    file = where(device)
    return file.startswith("/") and not Path(file).exists()


def strangers(devices: Iterable[Device]) -> list[Found]:
    """What is seen and no device of the settings. STOREKEEPER_SYS_ROOT: another root of /dev and /sys, for tests."""
    root = Path(os.environ.get("STOREKEEPER_SYS_ROOT", "/"))
    found = [one for one, name in plugged(devices, root) if not name]
    if root == Path("/"):
        return found
    return [
        replace(one, settings={key: f"{root}{path}" for key, path in one.settings.items()}) for one in found
    ]


def plugged(devices: Iterable[Device], root: Path = Path("/")) -> list[tuple[Found, str]]:
    """Each thing that is seen with the name of its device, "" when it has none. `root`: of /dev and /sys."""
    names = {
        _real(root, str(device.options[way])): device.name
        for device in devices
        for way in WAYS
        if device.options.get(way)
    }
    return [(found, names.get(_real(root, found.path), "")) for found in discover(root)]


def _real(root: Path, path: str) -> str:
    """by-id, by-path and the kernel's name are one device."""
    return os.path.realpath(path if path.startswith(f"{root}/") else root / path.lstrip("/"))
