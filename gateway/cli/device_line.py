"""What a device says: overheard from the running daemon, or read directly while nobody else holds it."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from drivers.contract import Asks, ConfigError, Decoder, DeviceGone, EventDriver
from gateway.config import Device, Settings
from gateway.errors import DeviceOrPermission, SettingsInvalid
from gateway.listening import Piece

POLL_S = 0.05
LOOK_EVERY_S = 0.5  # at the second file, for values that make no event


class Heard(NamedTuple):
    """One line of the monitor."""

    device: str
    what: str


def overheard(settings: Settings, seconds: float) -> Iterator[Heard]:
    """What the daemon hears from its devices: scans and what they became, values as they change."""
    import zmq

    from drivers.bus import decode_hint
    from gateway.addresses import hint_address

    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(hint_address(settings))
    values = dict(_values(settings))
    until_s, look_s = time.monotonic() + seconds, 0.0
    try:
        while (now_s := time.monotonic()) < until_s:
            if socket.poll(int(POLL_S * 1000)):
                for event in decode_hint(socket.recv()).events:
                    yield Heard(event.device, f"{event.code}  {event.about}  {event.text}".rstrip())
            if now_s - look_s < LOOK_EVERY_S:
                continue
            look_s = now_s
            for key, value in _values(settings):
                if values.get(key) != value:
                    values[key] = value
                    yield Heard(key[0], value)
    finally:
        socket.close()


def _values(settings: Settings) -> Iterator[tuple[tuple[str, str], str]]:
    """(device, what it is about) -> how it is now."""
    from gateway.cli.opened import telemetry
    from gateway.ledger import queries

    file = telemetry(settings)
    if file is None:
        return
    try:
        for sample in queries.latest_samples(file):
            about = " ".join(part for part in (sample.sensor, sample.quantity) if part)
            yield (sample.device, about), f"{about} {sample.value:g}"
        for state in queries.device_states(file):
            yield (state.device, "state"), f"{state.state}  {state.text}".rstrip()
    finally:
        file.close()


def named(settings: Settings, name: str) -> Device:
    """The device of the settings. Raises DeviceOrPermission with the names that there are."""
    for device in settings.devices:
        if device.name == name and not device.problem:
            return device
        if device.name == name:
            raise SettingsInvalid(device.problem)
    names = ", ".join(device.name for device in settings.devices) or "none"
    raise DeviceOrPermission(f'there is no device "{name}" in {settings.path.name}; there is {names}')


def pieces_of(device: Device, chosen: Any, config: Any, seconds: float) -> Iterator[Piece]:
    """Open the device and read it for so long, asked as its decoder asks. Raises DeviceOrPermission."""
    if isinstance(chosen, EventDriver):
        raise DeviceOrPermission(f"{device.name}: {device.driver} does its own input and output; use monitor")
    asker: Decoder = chosen.decoder(config)
    try:
        transport = chosen.open(config)
    except (DeviceGone, ConfigError) as error:
        held = "; the daemon holds it: sudo systemctl stop storekeeper" if "held by" in str(error) else ""
        raise DeviceOrPermission(f"{device.name}: {error}{held}") from error
    until_s = time.monotonic() + seconds
    try:
        while (now_s := time.monotonic()) < until_s:
            if isinstance(asker, Asks) and (request := asker.pending_bytes(now_s)):
                transport.write(request)
            data = transport.read(POLL_S)
            now_s = time.monotonic()
            asker.feed(data, now_s) if data else asker.idle(now_s)
            yield Piece(now_s, data)
    except DeviceGone as gone:
        raise DeviceOrPermission(f"{device.name}: {gone}") from gone
    finally:
        transport.close()
