"""A driver that runs a loop of its own, such as sensor_mqtt, and waits for the outcome of each reading."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.bus import Acks, Delivery, Inlet, Outlet
from drivers.contract import Garbled, Outcome, Scan
from drivers.feedback import Feedback
from drivers.forward import Forward, Till
from drivers.host import Host
from drivers.voiced import Voiced


class TwoScans:
    """Emits a barcode, then one that no symbology can hold, and keeps what it was answered."""

    Config = dict

    def __init__(self) -> None:
        self.answers: list[Outcome] = []

    def run(self, config: Any, emit: Callable[[Any], Outcome], stop: threading.Event) -> None:
        self.answers += [emit(Scan("96385074")), emit(Scan("1" * 300))]


def test_a_code_too_long_to_be_one_is_answered_like_any_other_reading(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/bus"
    inlet, over = Inlet(address), threading.Event()
    arrived: list[Any] = []

    def core() -> None:
        while not over.is_set():
            if inlet.wait(0.05) and (received := inlet.receive()) and isinstance(received[1], Delivery):
                peer, delivery = received
                arrived.extend(delivery.readings)
                outcomes = [
                    Outcome("garbled" if isinstance(one, Garbled) else "ok") for one in delivery.readings
                ]
                inlet.send(peer, Acks(delivery.boot, delivery.first_seq, outcomes))

    thread = threading.Thread(target=core)
    thread.start()
    outlet, driver = Outlet(address, "gate", "0123456789ab"), TwoScans()
    try:
        till = Till(Forward(), tmp_path, "gate")
        voiced = Voiced(tmp_path, "gate", "0123456789ab")
        Host(outlet, voiced, Feedback(""), till, threading.Event()).run_event_driver(driver, None)
    finally:
        over.set()
        thread.join()
        outlet.close()
        inlet.close()

    assert [answer.code for answer in driver.answers] == ["ok", "garbled"]
    assert [type(one) for one in arrived] == [Scan, Garbled]
    assert arrived[1].error == "longer than 256 characters"
