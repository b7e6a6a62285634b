"""Who speaks, and what it says: the short-lived process beside the pages in which devices are set up.

    python -m gateway.listening pair CONFIG SECONDS [IDENTITY ...]   press the trigger: which found device is it
    python -m gateway.listening watch CONFIG SECONDS NAME            what a device sends, and as what it is read
    python -m gateway.listening card CONFIG SECONDS NAME             the check card: how a scanner is set

One JSON line an event on stdout. Drivers are imported here and in the drivers' own processes, never in the pages.
A keyboard that nobody called a scanner is only listened to when its IDENTITY is given.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from drivers.contract import (
    AnyReading,
    Asks,
    ConfigError,
    DeviceGone,
    Document,
    Garbled,
    Health,
    Scan,
    Temperature,
    Weight,
)
from drivers.discover import Found
from gateway.addresses import bus_address, run_dir
from gateway.care import BLOCKED, IGNORED
from gateway.config import Device, Settings
from gateway.errors import DaemonNotReachable, DeviceOrPermission, SettingsInvalid
from gateway.stock.check_card import Arrival, Verdict, judge

POLL_S = 0.05
TAP_S = 100.0  # then the driver closes it by itself
ASK_AGAIN_S = 2.0
QUIET_S = 2.0  # after the last code of the card
SERIAL_DRIVERS = ("scale_toledo_continuous", "scale_header_line", "serial_scanner")  # the pickiest first
SHOWN_BYTES = 48
CONTROLS = {"\r": "<CR>", "\n": "<LF>", "\t": "<TAB>", "\x02": "<STX>", "\x03": "<ETX>", "\x1d": "<GS>"}
WARMED_CELSIUS = 0.5


class Piece(NamedTuple):
    """What one read brought; no bytes: silence."""

    now_s: float
    data: bytes
    readings: Sequence[AnyReading] = ()


@dataclass(frozen=True, slots=True)
class Spoke:
    """A found device said something. `driver` is who understands it, "" when nobody does."""

    identity: str
    what: str
    driver: str
    blocked: bool = False  # it types what no scanner types


# Press the trigger ----------------------------------------------------------------------------------------


def candidates(found: Sequence[Found], named: Sequence[str] = ()) -> list[Found]:
    """Whom pairing listens to: not to a keyboard that may be the owner's, unless it was named."""
    return [
        one
        for one in found
        if one.identity in named or (one.kind != "i2c" and not (one.kind == "keyboard" and not one.driver))
    ]


def pair(found: Sequence[Found], seconds: float) -> Iterator[Spoke]:
    """Each found device the first time it says something, and once more should it turn out to be none of ours."""
    heard: queue.SimpleQueue[Spoke] = queue.SimpleQueue()
    stop = threading.Event()
    threads = [threading.Thread(target=_listen, args=(one, heard, stop), daemon=True) for one in found]
    for thread in threads:
        thread.start()
    told: dict[str, Spoke] = {}
    until_s = time.monotonic() + seconds
    try:
        while (left_s := until_s - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                spoke = heard.get(timeout=left_s)
                before = told.get(spoke.identity)
                if before is None or spoke.blocked or (spoke.driver and not before.driver):
                    told[spoke.identity] = spoke
                    yield spoke
    finally:
        stop.set()
        for thread in threads:
            thread.join(2)


def _listen(found: Found, heard: "queue.SimpleQueue[Spoke]", stop: threading.Event) -> None:
    """One found device, until told to stop. What cannot be opened is silent."""
    from drivers.loading import load

    names = (
        [found.driver] if found.driver else ["hid_scanner"] if found.kind == "keyboard" else SERIAL_DRIVERS
    )
    try:
        drivers = [(name, load(name)) for name in names]
        made = [(name, chosen, chosen.Config(**found.settings)) for name, chosen in drivers]
        transport = made[0][1].open(made[0][2])  # type: ignore[union-attr]
    except (DeviceGone, ConfigError, TypeError, AttributeError):
        return
    decoders = [(name, chosen.decoder(config)) for name, chosen, config in made]  # type: ignore[union-attr]
    first: dict[str, float] = {}
    try:
        while not stop.is_set():
            now_s = time.monotonic()
            for _, decoder in decoders[:1]:
                if isinstance(decoder, Asks) and (request := decoder.pending_bytes(now_s)):
                    transport.write(request)
            data = transport.read(POLL_S)
            now_s = time.monotonic()
            for name, decoder in decoders:
                for reading in decoder.feed(data, now_s) if data else decoder.idle(now_s):
                    if spoke := _spoke(found, name, reading, first):
                        heard.put(spoke)
                        if spoke.blocked:  # it stays grabbed, and nothing more of it is decoded
                            _hold(transport, stop)
            if data and found.kind in ("serial", "hid"):
                heard.put(Spoke(found.identity, shown(data), ""))
    except DeviceGone:
        return
    finally:
        transport.close()


def _spoke(found: Found, driver: str, reading: AnyReading, first: dict[str, float]) -> Spoke | None:
    """Whether this reading is a device that answers a person."""
    if isinstance(reading, Health):
        if reading.status == "blocked_suspect":
            return Spoke(found.identity, reading.error or "", driver, blocked=True)
        return None
    if isinstance(reading, Garbled):
        return Spoke(found.identity, reading.error, "") if found.kind == "keyboard" else None
    if isinstance(
        reading, Temperature
    ):  # it speaks all the time: only a hand that warms it makes a difference
        warmth = reading.celsius
        if warmth is None or abs(warmth - first.setdefault(found.identity, warmth)) < WARMED_CELSIUS:
            return None
    if isinstance(reading, Weight) and not reading.unit:  # a bare number is a code as well
        return None
    return Spoke(found.identity, told(reading), driver)


def _hold(transport: Any, stop: threading.Event) -> None:
    while not stop.is_set():
        transport.read(POLL_S)


# A device of the settings, by its driver's tap --------------------------------------------------------------


def tapped(settings: Settings, name: str, seconds: float, *, aside: bool) -> Iterator[Piece]:
    """What the driver of `name` reads, as it reads it; silence between. `aside`: nothing of it is booked.

    Raises DaemonNotReachable, DeviceOrPermission.
    """
    import zmq

    from drivers.bus import Outlet
    from drivers.tap import decode_tapped

    listener = f"tap-{os.getpid()}"
    path = run_dir(settings) / listener
    inlet: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
    inlet.setsockopt(zmq.LINGER, 0)
    inlet.bind(f"ipc://{path}")
    outlet = Outlet(bus_address(settings), "setup", os.urandom(6).hex())
    until_s = time.monotonic() + min(seconds, TAP_S)
    body = {"name": name, "to": listener, "seconds": min(seconds, TAP_S), "aside": aside}
    try:
        _tell(outlet, {**body, "do": "tap"})
        heard_s = time.monotonic()
        while (now_s := time.monotonic()) < until_s:
            if inlet.poll(int(POLL_S * 1000)):
                heard_s = now_s
                seen = decode_tapped(inlet.recv())
                yield Piece(seen.at_s, seen.raw, seen.readings)
                continue
            yield Piece(now_s, b"")
            if now_s - heard_s > ASK_AGAIN_S:  # a driver that was started anew knows nothing of us
                heard_s = now_s
                _tell(outlet, {**body, "do": "tap", "seconds": until_s - now_s})
    finally:
        with contextlib.suppress(DaemonNotReachable, DeviceOrPermission):
            _tell(outlet, {**body, "do": "untap"})
        outlet.close()
        inlet.close()
        path.unlink(missing_ok=True)


def _tell(outlet: Any, body: dict[str, Any]) -> None:
    try:
        outcome = outlet.ask(Document("device", os.urandom(8).hex(), body))
    except TimeoutError:
        raise DaemonNotReachable("the daemon does not answer: is it running? storekeeper run") from None
    if outcome.code == "refused":
        raise DeviceOrPermission(outcome.text)


# The check card ---------------------------------------------------------------------------------------------


def verdicts(device: Device, pieces: Iterator[Piece]) -> Iterator[tuple[list[Arrival], Verdict]]:
    """What is known after each code of the card; ends when all three arrived and nothing more comes."""
    chosen, options = made(device)
    found: list[Arrival] = []
    for arrival in arrivals(chosen, options, pieces):
        if arrival is not None:
            found.append(arrival)
            yield found, judge(found)
        elif found and time.monotonic() - found[-1].at_s > QUIET_S and judge(found).is_complete:
            return


def made(device: Device) -> tuple[Any, Any]:
    """Its driver and its Config. Raises SettingsInvalid."""
    from drivers.loading import load

    try:
        chosen = load(device.driver)
        return chosen, chosen.Config(**device.options)
    except ConfigError as error:
        raise SettingsInvalid(f"{device.name}: {error}") from error


def arrivals(chosen: Any, config: Any, pieces: Iterator[Piece]) -> Iterator[Arrival | None]:
    """Each code as every keyboard layout would read it; None at each silence."""
    decoders = {
        layout: chosen.decoder(plain) for layout, plain in _in_every_layout(chosen.Config, config).items()
    }
    began_s: float | None = None
    for now_s, data, _ in pieces:
        ended: dict[str, list[AnyReading]] = {}
        for layout, decoder in decoders.items():
            readings = decoder.feed(data, now_s) if data else decoder.idle(now_s)
            ended[layout] = [one for one in readings if isinstance(one, Scan | Garbled)]
        if data and began_s is None:
            began_s = now_s
        count = max(len(readings) for readings in ended.values())
        for at in range(count):
            scans = {
                layout: readings[at]
                for layout, readings in ended.items()
                if at < len(readings) and isinstance(readings[at], Scan)
            }
            texts = {layout: scan.data for layout, scan in scans.items() if isinstance(scan, Scan)}
            aims = [scan.aim for scan in scans.values() if isinstance(scan, Scan) and scan.aim]
            yield Arrival(texts, aims[0] if aims else "", now_s, now_s - (began_s or now_s))
        if count:
            began_s = None
        if not data:
            yield None


def _in_every_layout(shape: type[Any], config: Any) -> dict[str, Any]:
    """Layout -> Config without prefix and suffix; one without a name for what is no keyboard."""
    from drivers.keyboard_layouts import LAYOUTS

    names = {field.name for field in fields(shape)}
    plain = replace(config, **{name: "" for name in ("prefix", "suffix") if name in names})
    choices = get_args(get_type_hints(shape)["layout"]) if "layout" in names else ()
    keyboards = [choice for choice in choices if choice in LAYOUTS]
    return {layout: replace(plain, layout=layout) for layout in keyboards} or {"": plain}


# In words -----------------------------------------------------------------------------------------------------


def told(reading: AnyReading) -> str:
    """A reading as a technician reads it."""
    values = asdict_of(reading)
    match values.pop("type"):
        case "scan":
            return f"{values['data']}  {values.get('aim', '')}".rstrip()
        case "weight" if "value" in values:
            steady = "" if "stable" not in values else "stable" if values["stable"] else "moving"
            return f"{values['value']} {values.get('unit', '')}  {steady}".rstrip()
        case "temperature" if "celsius" in values:
            return f"{values['celsius']} °C"
        case "humidity":
            return f"{values['humidity']} %"
        case "tag":
            return str(values["epc"])
        case kind:
            return str(values.get("error") or values.get("status") or kind)


def asdict_of(reading: AnyReading) -> dict[str, Any]:
    """The fields that say something, by name, and the type."""
    import msgspec

    values: dict[str, Any] = msgspec.to_builtins(reading)
    return values


def shown(data: bytes) -> str:
    """Bytes on a screen: text where it is text, else hexadecimal; cut."""
    text = data[:SHOWN_BYTES]
    more = " …" if len(data) > SHOWN_BYTES else ""
    if all(0x20 <= byte < 0x7F or chr(byte) in CONTROLS for byte in text):
        return "".join(CONTROLS.get(char, char) for char in text.decode("ascii")) + more
    return text.hex(" ") + more


# The process --------------------------------------------------------------------------------------------------


def main(what: str, config: str, seconds: str, *names: str) -> int:
    from gateway.config import load

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the devices are let go on the way out
    settings = load(Path(config)).settings
    try:
        for line in _events(what, settings, float(seconds), names):
            print(json.dumps(line, ensure_ascii=False), flush=True)
    except (DaemonNotReachable, DeviceOrPermission, SettingsInvalid) as error:
        print(json.dumps({"problem": str(error)}), flush=True)
        return 1
    except BrokenPipeError:
        return 0
    return 0


def _events(what: str, settings: Settings, seconds: float, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    if what == "pair":
        from gateway.ledger import queries
        from gateway.plugged import strangers

        with closing(queries.connect(settings.ledger.data_dir / "ledger.db")) as ledger:
            ignored = queries.settings_below(ledger, IGNORED)
        wanted = [one for one in strangers(settings.devices) if one.identity not in ignored]
        for spoke in pair(candidates(wanted, names), seconds):
            if spoke.blocked:
                raise_block(settings, spoke)
            yield asdict(spoke)
        return
    device = next((one for one in settings.devices if one.name == names[0]), None)
    if device is None:
        raise DeviceOrPermission(f"there is no device {names[0]}")
    pieces = tapped(settings, device.name, seconds, aside=what == "card")
    if what == "watch":
        for piece in pieces:
            if piece.data or piece.readings:
                yield {"raw": shown(piece.data), "read": [told(reading) for reading in piece.readings]}
        return
    for found, verdict in verdicts(device, pieces):
        texts = [next(iter(one.texts.values()), "") for one in found]
        yield {"arrived": texts[-6:], "verdict": asdict(verdict), "complete": verdict.is_complete}


def raise_block(settings: Settings, spoke: Spoke) -> None:
    """A found device that types what no scanner types: an alert, which stays until a person frees it."""
    from drivers.bus import Outlet

    outlet = Outlet(bus_address(settings), "setup", os.urandom(6).hex())
    text = f"{spoke.identity}: {spoke.what}. It is not in the settings, and nothing from it is read"
    body = {"kind": BLOCKED, "subject": spoke.identity, "severity": "critical", "text": text, "data": {}}
    with contextlib.suppress(TimeoutError):
        outlet.ask(Document("notice", os.urandom(8).hex(), body))
    outlet.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
