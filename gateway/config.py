"""The settings of one gateway, as plain values.

What a person writes is `config.toml`; `gateway.check` (pydantic, a short-lived process) proves it and leaves
these values behind, so that no resident process has to hold a validation library.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import SettingsInvalid

PLACES = (Path("config.toml"), Path("/etc/storekeeper/config.toml"), Path("demo-shop/config.toml"))


@dataclass(frozen=True, slots=True)
class Shop:
    name: str = "My shop"
    tenant: str = "shop"  # [a-z0-9-]{1,32}, as are store and gateway: they are levels of the MQTT topics
    store: str = "main"
    gateway: str = "gw1"
    currency: str = "EUR"
    language: str = "en"
    timezone: str = "UTC"
    rcn_region: str = ""  # whose rule reads the weight or price inside an in-store code
    rcn_template: str = ""  # our own rule, when no region fits: "2P IIIII VVVVV C weight 3"
    expired: str = "warn"  # or "block": what happens to a scan of an expired lot


@dataclass(frozen=True, slots=True)
class Ledger:
    data_dir: Path = Path()
    ballast_mb: int = 16


@dataclass(frozen=True, slots=True)
class Web:
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 8080
    lan: bool = False


@dataclass(frozen=True, slots=True)
class Mqtt:
    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = 1883
    tls: bool = False
    ca_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
    protocol: str = "5"  # or "3.1.1"


@dataclass(frozen=True, slots=True)
class Device:
    """One `[[device]]`: what the shop decides about it, and in `options` what its driver is told."""

    name: str
    driver: str
    mode: str = "look"  # home mode; a new scanner starts in look-up until it is given a station
    location: str = "counter"
    enabled: bool = True
    bounce_ms: int = 120
    feedback: str = ""  # "", "record:FILE", "sound", "gpio:PIN"
    options: dict[str, Any] = field(default_factory=dict)
    problem: str = ""  # why this device is not started; the others are


@dataclass(frozen=True, slots=True)
class Settings:
    path: Path
    shop: Shop = Shop()
    ledger: Ledger = Ledger()
    web: Web = Web()
    mqtt: Mqtt = Mqtt()
    devices: tuple[Device, ...] = ()


def find(path: Path | None = None) -> Path:
    """The config file: as given, else $STOREKEEPER_CONFIG, else the first of the usual places that exists."""
    named = path or os.environ.get("STOREKEEPER_CONFIG")
    if named:
        return Path(named)
    for place in PLACES:
        if place.exists():
            return place
    tried = ", ".join(str(place) for place in PLACES)
    raise SettingsInvalid(f"there is no config file (tried {tried}); say which: -c FILE", "SK-C08")
