"""A shop behind 64 kbit/s: a backlog of hours is on its way, and an alert does not wait for it."""

import select
import socket
import threading
import time

import pytest

from tests.cloud.conftest import eventually
from tests.cloud.ledgers import alert, sell, written
from tests.cloud.test_pump import (  # noqa: F401  # ear and office are fixtures
    assert_both_ends_are_equal,
    ear,
    office,
    office_rows,
    seqs,
)

BYTES_PER_SECOND = 8_000
MOVEMENTS = 500


class SlowLine:
    """Forwards to a broker, 8,000 bytes a second upward."""

    def __init__(self, broker_port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port = self._listening.getsockname()[1]
        self._broker_port = broker_port
        self.bytes_up = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        if not select.select([self._listening], [], [], 120)[0]:
            return
        gateway, _ = self._listening.accept()
        with gateway, socket.create_connection(("127.0.0.1", self._broker_port)) as broker:
            while not self._stop.is_set():
                for ready in select.select([gateway, broker], [], [], 0.05)[0]:
                    data = ready.recv(400)
                    if not data:
                        return
                    (broker if ready is gateway else gateway).sendall(data)
                    if ready is gateway:
                        self.bytes_up += len(data)
                        time.sleep(len(data) / BYTES_PER_SECOND)


@pytest.fixture
def slow_line(broker):
    line = SlowLine(broker.port)
    yield line
    line.close()


def test_on_a_slow_line_an_alert_arrives_within_five_seconds_of_the_backlog_it_overtakes(
    tmp_path,
    slow_line,
    core,
    pumps,
    ear,  # noqa: F811
):
    with written(tmp_path) as shop:
        sell(shop, 3_000)  # 2 MB: four minutes of this line
        pumps(tmp_path, slow_line.port, core)
        eventually(lambda: len(seqs(ear.said("up/ledger"))) >= 20, "the backlog flows")

        alert(shop, "oat drink")
        eventually(lambda: ear.said("up/alert"), "the alert")

    assert len(seqs(ear.said("up/ledger"))) < 1_000  # it overtook most of it


def test_compressed_a_week_offline_is_a_matter_of_minutes_on_a_slow_line(
    tmp_path,
    slow_line,
    core,
    pumps,
    office,  # noqa: F811
):
    """14,000 movements at 64 kbit/s in at most 15 minutes is 514 bytes a movement; plain JSON takes 700."""
    with written(tmp_path) as shop:
        sell(shop, MOVEMENTS)
        pumps(tmp_path, slow_line.port, core, compress=True)
        held = "SELECT count(*) FROM movement"
        unpacked = "the back office has unpacked all of it"
        eventually(lambda: office_rows(office, held) == [(MOVEMENTS,)], unpacked)

        assert_both_ends_are_equal(shop, office)
        print(f"{slow_line.bytes_up / MOVEMENTS:.0f} bytes a movement on the line")
        assert slow_line.bytes_up < MOVEMENTS * 514
