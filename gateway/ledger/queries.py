"""Questions to the ledger: one named function each, read-only, answers are dataclasses.

The only module besides `writer`, `feed` and `migrate` that holds SQL of ledger.db.
"""

import sqlite3
from pathlib import Path


def connect(ledger_path: Path) -> sqlite3.Connection:
    """A read-only connection. Short transactions only: a long one holds up the writer's checkpoint."""
    ledger = sqlite3.connect(f"file:{ledger_path}?mode=ro", uri=True, isolation_level=None, timeout=5)
    ledger.execute("PRAGMA query_only = ON")
    ledger.execute("PRAGMA trusted_schema = OFF")
    return ledger
