"""Set the demo shop up, run it, say where to look."""

import contextlib
import datetime
import shutil
import signal
import sys
import threading
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.demo.controller import serve
from gateway.demo.history import DAYS, write_history
from gateway.demo.play import Play
from gateway.demo.processes import Processes, answers, find_mosquitto, free_port, mosquitto_conf
from gateway.errors import Trouble
from gateway.ledger.writer import Writer

MARKER = "demo.toml"  # proves that a folder is the demo's, and may be deleted
ANSWER_WITHIN_S = 30.0
ZONE = "Europe/Berlin"  # of a shop that counts in euros, on a machine that does not say where it is


def run(folder: Path, seed: int, speed: float, *, reset: bool, port: int, seconds: float | None) -> None:
    """Until Ctrl-C, SIGTERM, or `seconds` are over."""
    folder = folder.absolute()
    if reset and (folder / MARKER).exists():
        shutil.rmtree(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise Trouble(f"{folder} is not empty and not a demo shop: say another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(f"seed = {seed}\n")
    zone = zone_of_the_machine(Path("/etc/localtime"))
    _build(folder, seed, ZoneInfo(zone))

    web_port, broker_port, office_port = free_port(port), free_port(18_830), free_port(8_090)
    config = folder / "config.toml"
    config.write_text(_config(folder, zone, web_port, broker_port, office_port))
    (folder / "mosquitto.conf").write_text(mosquitto_conf(folder, broker_port))
    environment: dict[str, str] = {}
    processes = Processes(folder, config, environment)
    play = Play(folder, processes, seed, speed)
    controller = serve(play)
    processes.environment["STOREKEEPER_DEMO"] = f"http://127.0.0.1:{controller.server_address[1]}"

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        processes.start()
        if not answers(web_port, ANSWER_WITHIN_S):
            raise Trouble(f"the pages do not answer; see {folder}/daemon.log")
        _announce(port, web_port, broker_port, office_port)
        play.run(stop)
        stop.wait(seconds)
    finally:
        stop.set()
        processes.stop()
        controller.shutdown()


def zone_of_the_machine(localtime: Path) -> str:
    """The time zone's name; a believable one when the machine keeps UTC or says nothing, as servers do."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        _, zoneinfo, name = str(localtime.readlink()).partition("/zoneinfo/")
        if zoneinfo and datetime.datetime.now(ZoneInfo(name)).tzname() not in ("UTC", "-00"):
            return name
    return ZONE


def _build(folder: Path, seed: int, zone: ZoneInfo) -> None:
    """The shop's past, once."""
    writer = Writer(folder, ballast_mb=1)
    try:
        if writer.last_seq == 0:
            today = datetime.datetime.now(zone).date()
            write_history(writer, seed, zone, today, _progress)
    finally:
        writer.close()


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        bar = "#" * (30 * done // of)
        print(f"\rwriting {DAYS} days of history  [{bar:<30}]", end="", file=sys.stderr, flush=True)
        if done == of:
            print(file=sys.stderr)


def _announce(wanted_port: int, web_port: int, broker_port: int, office_port: int) -> None:
    lines = ['Demo shop "Corner" is running. 3 devices are recordings played through the real drivers.']
    lines.append(f"  open   http://127.0.0.1:{web_port}        counter screen  /counter")
    if web_port != wanted_port:
        lines.append(f"         ({wanted_port} is used by another program)")
    lines.append("  stop   Ctrl-C        the demo ledger is kept until: storekeeper demo --reset")
    if find_mosquitto():
        lines.append(f"  MQTT   127.0.0.1:{broker_port}        back office  http://127.0.0.1:{office_port}")
    else:
        lines.append("  MQTT   no broker found (apt install mosquitto to see the feed)")
    print("\n".join(lines), flush=True)


def _config(folder: Path, zone: str, web_port: int, broker_port: int, office_port: int) -> str:
    return f"""# Written by storekeeper demo; changes are lost at its next start.
[shop]
name = "Corner"
tenant = "demo"
store = "corner"
gateway = "gw1"
currency = "EUR"
timezone = "{zone}"

[ledger]
data_dir = "{folder}"
ballast_mb = 1

[web]
port = {web_port}

[mqtt]
enabled = true
port = {broker_port}

[backoffice]
database = "{folder}/backoffice.db"
port = {office_port}

[backoffice.broker]
port = {broker_port}

[[device]]
name = "counter"
driver = "serial_scanner"
mode = "sell"
location = "shop"
bounce_ms = 0  # this scanner has its own same-code time-out
port = "{folder}/counter.tty"
reply = "text"

[[device]]
name = "back-door"
driver = "serial_scanner"
mode = "receive"
location = "shop"
bounce_ms = 0
port = "{folder}/back-door.tty"
reply = "text"

[[device]]
name = "fridge"
driver = "thermometer_ds18b20"
location = "shop"
port = "{folder}/fridge/w1_slave"
"""
