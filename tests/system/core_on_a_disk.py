"""The core alone, for the power cut: the real Writer and Ingest on a bus, with a weaker promise for the control.

    python -m tests.system.core_on_a_disk DATA_DIR BUS_ADDRESS FULL|NORMAL

The product has no such switch: here the pragma of the writer's own connection is changed after it was opened.
"""

import sys
import threading
from pathlib import Path

import zmq

from drivers.bus import Inlet
from gateway.config import Device, Ledger, Settings
from gateway.ingest import Ingest
from gateway.ledger.telemetry import Telemetry
from gateway.ledger.writer import Writer


def main(data_dir: Path, bus: str, synchronous: str) -> None:
    writer = Writer(data_dir, ballast_mb=1)
    if synchronous != "FULL":
        writer.connection.execute(f"PRAGMA synchronous = {synchronous}")
    inlet = Inlet(bus)
    hints = zmq.Context.instance().socket(zmq.PUB)
    settings = Settings(
        path=data_dir / "config.toml",
        ledger=Ledger(data_dir),
        devices=(Device("counter", "serial_scanner", "sell", "shop", bounce_ms=0),),
    )
    telemetry = Telemetry(data_dir / "telemetry.db")
    print("ready", flush=True)
    Ingest(settings, writer, telemetry, inlet, hints, lambda _: None).run(threading.Event())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
