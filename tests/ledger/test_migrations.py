"""From every released schema to the newest, with the plug pulled at each statement."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import LedgerUnusable
from gateway.ledger.audit import audit
from gateway.ledger.migrate import migrate, migrations, statements
from gateway.ledger.writer import Writer
from tests.ledger.counter import as_after_a_kill

NEWEST = migrations()[-1][0]
STATEMENTS = [statement for _, path in migrations() for statement in statements(path.read_text())]

DIE_AT = """
import os, signal, sqlite3, sys
from gateway.ledger.migrate import migrate
path, at = sys.argv[1], int(sys.argv[2])
ledger = sqlite3.connect(path, isolation_level=None)
ledger.execute("PRAGMA journal_mode = wal")
seen = 0
def trace(statement):
    global seen
    seen += 1
    if seen == at:
        os.kill(os.getpid(), signal.SIGKILL)
ledger.set_trace_callback(trace)
migrate(ledger)
"""


def tables(path: Path) -> set[str]:
    ledger = sqlite3.connect(path)
    names = {
        name for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    }
    ledger.close()
    return names


def made_through(number: int) -> set[str]:
    """What the schema files up to `number` make, by SQLite's own reading of them."""
    bare = sqlite3.connect(":memory:")
    for version, path in migrations():
        if version <= number:
            bare.executescript(path.read_text())
    return {name for (name,) in bare.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")}


def version(path: Path) -> int:
    ledger = sqlite3.connect(path)
    (number,) = ledger.execute("PRAGMA user_version").fetchone()
    ledger.close()
    return number


def test_a_migration_is_all_there_or_not_at_all_at_whichever_statement_the_connection_is_lost(tmp_path):
    """Every statement of every migration: the files as they are after it, opened by the next start."""
    whole = tmp_path / "whole"
    Writer(whole, ballast_mb=0).close()
    expected = tables(whole / "ledger.db")
    steps = [set(), *(made_through(number) for number, _ in migrations())]
    assert steps[-1] == expected
    source = tmp_path / "source"
    source.mkdir()
    ledger = sqlite3.connect(source / "ledger.db", isolation_level=None)
    ledger.execute("PRAGMA journal_mode = wal")
    copies: list[Path] = []

    def cut(statement: str) -> None:
        copies.append(as_after_a_kill(source, tmp_path / f"cut-{len(copies)}"))

    ledger.set_trace_callback(cut)
    migrate(ledger)
    ledger.close()

    assert len(copies) > len(STATEMENTS)  # BEGIN, user_version and COMMIT besides
    for copy in copies:
        assert tables(copy / "ledger.db") == steps[version(copy / "ledger.db")]
        writer = Writer(copy, ballast_mb=0)
        assert audit(writer.connection).findings == ()
        writer.close()
        assert tables(copy / "ledger.db") == expected
        assert version(copy / "ledger.db") == NEWEST


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_a_process_killed_in_a_migration_leaves_a_ledger_that_starts(tmp_path, share):
    at = 2 + int(share * len(STATEMENTS))
    killed = subprocess.run([sys.executable, "-c", DIE_AT, str(tmp_path / "ledger.db"), str(at)], timeout=120)
    assert killed.returncode == -signal.SIGKILL

    writer = Writer(tmp_path, ballast_mb=0)

    assert audit(writer.connection).findings == ()
    assert version(writer.path) == NEWEST
    writer.close()


def test_a_ledger_of_a_newer_storekeeper_is_left_alone(tmp_path):
    Writer(tmp_path, ballast_mb=0).close()
    ledger = sqlite3.connect(tmp_path / "ledger.db")
    ledger.execute(f"PRAGMA user_version = {NEWEST + 1}")
    ledger.close()

    with pytest.raises(LedgerUnusable) as refused:
        Writer(tmp_path, ballast_mb=0)

    assert f"schema {NEWEST + 1}, this one knows {NEWEST}" in str(refused.value)


def test_every_statement_of_a_schema_file_is_found():
    """A trigger has semicolons inside; comments have them too."""
    by_statement = sqlite3.connect(":memory:")
    for statement in STATEMENTS:
        assert sqlite3.complete_statement(statement)
        by_statement.execute(statement)

    names = {name for (name,) in by_statement.execute("SELECT name FROM sqlite_master")}
    assert {name for name in names if not name.startswith("sqlite_")} == made_through(NEWEST)


def test_nobody_else_may_read_the_lock(tmp_path):
    Writer(tmp_path, ballast_mb=0).close()

    assert (tmp_path / "ledger.lock").stat().st_mode & 0o077 == 0
    assert int((tmp_path / "ledger.lock").read_text()) == os.getpid()
