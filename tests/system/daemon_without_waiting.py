"""The daemon of the product with a weaker promise, for the power cut's control: its commits do not wait for the disk.

    python -m tests.system.daemon_without_waiting run -c CONFIG

The product has no such switch: here one value of the writer's settings is another before anything starts, and
the writer itself proves that SQLite took it.
"""

import sys

from gateway.ledger import writer
from gateway.start import start

NORMAL = 1

if __name__ == "__main__":
    assert writer.PRAGMAS["synchronous"] == 2
    writer.PRAGMAS["synchronous"] = NORMAL
    sys.exit(start(sys.argv[3]))
