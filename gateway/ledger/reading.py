"""A read-only connection, and what the daemon itself asks: apart from `queries`, which only faces need resident."""

import sqlite3
from pathlib import Path


def connect(ledger_path: Path, *, any_thread: bool = False) -> sqlite3.Connection:
    """A read-only connection. Short transactions only: a long one holds up the writer's checkpoint."""
    ledger = sqlite3.connect(
        f"file:{ledger_path}?mode=ro",
        uri=True,
        isolation_level=None,
        timeout=5,
        check_same_thread=not any_thread,
    )
    ledger.execute("PRAGMA query_only = ON")
    ledger.execute("PRAGMA trusted_schema = OFF")
    return ledger


def settings_below(ledger: sqlite3.Connection, prefix: str) -> dict[str, str]:
    """What persons decided and the ledger keeps: the settings whose key begins with `prefix`, without it."""
    rows = ledger.execute(
        "SELECT substr(key, ?), value FROM setting WHERE key GLOB ?", (len(prefix) + 1, f"{prefix}*")
    )
    return dict(rows.fetchall())
