"""A shop at rest and at its start: seconds to the first scan, processor and disk when nothing happens, memory."""

import http.client
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gateway.demo.processes import free_port
from gateway.measure.processes import pss_mib
from gateway.measure.stage import Stage

THREE = 3  # drivers, as in a small shop
SETTLED_AFTER_S = 6.0  # the first heartbeats, the first looks
PAGE_WITHIN_S = 20.0


class Rest(NamedTuple):
    cpu_percent: float  # of one processor
    written_bytes: int
    watched_s: float


def start_s(stage: Stage) -> float:
    """From the start of the process to the first scan that is durable and acknowledged."""
    took_s = stage.start_and_scan()
    stage.settle()
    return took_s


def at_rest(stage: Stage, watch_s: float) -> Rest:
    """Nobody scans."""
    time.sleep(SETTLED_AFTER_S)
    before = stage.used()
    time.sleep(watch_s)
    spent = stage.used().since(before)
    return Rest(100 * spent.cpu_s / spent.at_s, spent.written_bytes, spent.at_s)


def memory_mib(folder: Path, mqtt_port: int = 0) -> tuple[float, float]:
    """Three drivers without the pages; and with the pages and one that is open."""
    with closing(Stage(folder / "bare", THREE, mqtt_port=mqtt_port)) as stage:
        stage.open()
        bare = pss_mib(stage.pids())
    with closing(Stage(folder / "web", THREE, mqtt_port=mqtt_port, web_port=free_port(18_700))) as stage:
        stage.open()
        with closing(http.client.HTTPConnection("127.0.0.1", stage.web_port, timeout=5)) as page:
            _open_page(page)
            stage.scan()
            page.sock.recv(65_536)
            time.sleep(1.0)
            return bare, pss_mib(stage.pids())


def _open_page(page: http.client.HTTPConnection) -> None:
    """The counter page's stream of events, once the pages answer."""
    deadline_s = time.monotonic() + PAGE_WITHIN_S
    while True:
        try:
            page.request("GET", "/counter")
            page.getresponse().read()
            break
        except OSError:
            page.close()
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.2)
    page.request("GET", "/live/counter")
