"""The composition root: builds the parts, starts the loops; the first loop that fails stops all.

Starting is the recovery path, so it is exercised daily: systemd starts the service again.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial

import zmq

from drivers.bus import Inlet
from gateway.addresses import bus_address, hint_address, make_run_dir
from gateway.children import Children
from gateway.config import Settings
from gateway.ingest import Ingest
from gateway.ledger.library import set_up_for_one_thread_a_connection
from gateway.ledger.open_alerts import OpenAlerts
from gateway.ledger.telemetry import Telemetry
from gateway.ledger.writer import Writer
from gateway.notify import notify
from gateway.nursery import Nursery, preload
from gateway.supervisor import Supervisor
from gateway.timetable import Timetable
from gateway.watch import Watch

WATCHDOG_PING_S = 10.0
HUNG_AFTER_S = 60.0  # an ingest that has not looked at the bus for so long is not only busy
CHILDREN_LEAVE_WITHIN_S = 1.5
IN_FLIGHT_S = 0.05  # a message that was sent and is not yet in our socket
LAST_WORDS_S = 0.5
CORE_ENDS_WITHIN_S = 2.0


def run(settings: Settings) -> int:
    """Run until SIGTERM. Returns 0 after a clean stop, 1 when a loop failed. Raises LedgerUnusable."""
    preload()
    set_up_for_one_thread_a_connection()
    nursery = Nursery(_bundled_drivers(settings))  # before threads, sockets and connections
    writer = Writer(settings.ledger.data_dir, settings.ledger.ballast_mb)
    telemetry = Telemetry(settings.ledger.data_dir / "telemetry.db")
    make_run_dir(settings)
    inlet = Inlet(bus_address(settings))
    hints: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
    hints.setsockopt(zmq.LINGER, 0)
    hints.bind(hint_address(settings))

    supervisor = Supervisor(nursery, telemetry, lambda: inlet.listened_s)
    ingest = Ingest(settings, writer, telemetry, inlet, hints, supervisor.heartbeat)
    children = Children(settings, supervisor, telemetry, ingest.settle)
    children.want()

    open_alerts = OpenAlerts(writer.path)
    timetable = Timetable(settings, telemetry, open_alerts)

    stop, last = threading.Event(), threading.Event()  # `last`: when the children have gone
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: children.want_anew_soon())
    failures: list[str] = []

    def start(name: str, loop: Callable[[threading.Event], None], until: threading.Event) -> threading.Thread:
        return _start(name, partial(loop, until), stop, failures)

    core = [start("ingest", ingest.run, last), start("telemetry", telemetry.run, last)]
    watch = Watch(lambda: children.settings, telemetry, supervisor.failures, open_alerts)
    hands = [
        start("supervisor", supervisor.run, stop),
        start("timetable", timetable.run, stop),
        start("watch", watch.run, stop),
    ]
    notify("READY=1")
    while not stop.wait(WATCHDOG_PING_S):
        turning = time.monotonic() - inlet.listened_s < HUNG_AFTER_S
        if turning and all(thread.is_alive() for thread in (*core, *hands)):
            notify("WATCHDOG=1")
        if writer.ballast_missing:
            writer.put_ballast_back()
    notify("STOPPING=1")
    supervisor.ask_to_leave()
    for thread in hands:
        thread.join(CHILDREN_LEAVE_WITHIN_S)
    _hear_last_words(inlet)
    last.set()
    for thread in core:
        thread.join(CORE_ENDS_WITHIN_S)
    if not any(thread.is_alive() for thread in hands):
        open_alerts.close()
    if not any(thread.is_alive() for thread in core):  # who hangs on a dying disk still holds them
        writer.close()
        hints.close()
        inlet.close()
    return 1 if failures else 0


def _hear_last_words(inlet: Inlet) -> None:
    """What the children said as they left is booked before the ledger closes."""
    time.sleep(IN_FLIGHT_S)
    inlet.hurry()
    deadline_s = time.monotonic() + LAST_WORDS_S
    while not inlet.quiet and time.monotonic() < deadline_s:
        time.sleep(0.01)


def _bundled_drivers(settings: Settings) -> set[str]:
    """The modules of our own drivers that this shop has. A stranger's code is imported by its own process only."""
    modules = {device.target.partition(":")[0] for device in settings.devices if device.enabled}
    return {module for module in modules if module.startswith("drivers.")}


def be_pump(path: str, bus: str, hint: str) -> None:
    """In its own process: the sync pump."""
    from gateway.cloud.pump import main

    main(_settings(path), bus, hint)


def be_pages(path: str, bus: str, hint: str) -> None:
    """In its own process: the web face."""
    from gateway.web.app import main

    main(_settings(path), bus, hint, os.environ.get("STOREKEEPER_DEMO", ""))


def _settings(path: str) -> Settings:
    """Children read what was checked and cached, not what the daemon happens to hold."""
    from pathlib import Path

    from gateway.config import load

    return load(Path(path)).settings


def _start(
    name: str, loop: Callable[[], None], stop: threading.Event, failures: list[str]
) -> threading.Thread:
    def body() -> None:
        try:
            loop()
        except BaseException:
            failures.append(name)
            print(f"storekeeper: the loop {name!r} failed; stopping", file=sys.stderr)
            traceback.print_exc()
            stop.set()

    thread = threading.Thread(target=body, name=name)
    thread.start()
    return thread
