"""Schema changes: numbered files, forward only, each applied in one transaction."""

import sqlite3
from pathlib import Path

from gateway.errors import LedgerUnusable

SCHEMA = Path(__file__).parent / "schema"


def migrations() -> list[tuple[int, Path]]:
    """(version, file), ascending."""
    return sorted((int(path.name[:4]), path) for path in SCHEMA.glob("[0-9][0-9][0-9][0-9]_*.sql"))


def migrate(ledger: sqlite3.Connection) -> int:
    """Bring an open ledger to the newest schema; the version it has now. Raises LedgerUnusable."""
    (version,) = ledger.execute("PRAGMA user_version").fetchone()
    steps = migrations()
    newest = steps[-1][0]
    if version > newest:
        raise LedgerUnusable(
            f"the ledger was written by a newer storekeeper (schema {version}, this one knows {newest}):"
            " install that version again, or restore a backup from before the update"
        )
    for number, path in steps:
        if number > version:
            ledger.execute("BEGIN IMMEDIATE")
            try:
                for statement in statements(path.read_text()):
                    ledger.execute(statement)
                ledger.execute(f"PRAGMA user_version = {number}")
                ledger.execute("COMMIT")
            except BaseException:
                ledger.execute("ROLLBACK")
                raise
    return newest


def statements(script: str) -> list[str]:
    """Split at the semicolons that end a statement (a trigger has some inside)."""
    found, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.split("--")[0].rstrip().endswith(";") and sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
