"""Copies of the ledger that are proven right after they were written, and the way back from one.

A copy is a snapshot taken through SQLite's backup interface by a reader: the daemon goes on booking meanwhile.
It gets its name only after every movement of it was recomputed and it is on disk.
"""

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.clock import Clock
from gateway.errors import LedgerUnusable
from gateway.ledger.audit import Audit, Finding, audit
from gateway.ledger.backups import KEPT, Backup, name_of, prune
from gateway.ledger.files import take_lock
from gateway.ledger.migrate import migrate
from gateway.ledger.queries import connect, last_seq

UNFINISHED = "unfinished.db"
ROOM_FACTOR = 1.1  # of the ledger's size must be free: it grows while it is copied
PAGE_FILES = ("", "-wal", "-shm")  # what SQLite keeps of one database
BEGIN_EPOCH = """INSERT INTO epoch (id, reason, started_us, parent_epoch, parent_seq)
    SELECT max(id) + 1, 'restore', ?, max(id), ? FROM epoch"""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a way back came to. `replaced`: the ledger as it was before, kept beside the new one."""

    backup: Path
    epoch: int
    last_seq: int
    replaced: Path | None
    lost_after_seq: int | None  # the newest movement of the ledger that was replaced; None: it tells nothing


def create(ledger_path: Path, folder: Path, now: datetime, kept: int = KEPT) -> Backup:
    """Copy, prove, name, and let the oldest go. Raises LedgerUnusable, and then leaves nothing behind."""
    unfinished = folder / UNFINISHED
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
            _give_to_the_owner(folder, ledger_path.parent)
        _need_room(ledger_path, folder)
        _copy(ledger_path, unfinished)
        found = verify(unfinished)
        if found.findings:
            raise LedgerUnusable(
                f"the copy of {ledger_path} is not right ({found.findings[0].text}), so it was thrown away:"
                " storekeeper ledger verify says whether the ledger itself is",
                "SK-L05",
            )
        epoch = _epoch(unfinished)
        path = folder / name_of(epoch, found.last_seq, now)
        _give_to_the_owner(unfinished, ledger_path.parent)
        _flush(unfinished)
        unfinished.replace(path)
        _flush(folder)
        prune(folder, kept)
        return Backup(path, epoch, found.last_seq, f"{now:%Y%m%dT%H%M}", path.stat().st_size)
    except (OSError, sqlite3.Error) as error:
        raise LedgerUnusable(
            f"no backup in {folder}: {error}. Is it mounted, writable, and has it room?", "SK-L05"
        ) from error
    finally:
        for name in ("", "-journal"):
            with contextlib.suppress(OSError):
                Path(f"{unfinished}{name}").unlink(missing_ok=True)


def verify(path: Path) -> Audit:
    """Every page and every movement of a copy that nobody has open, recomputed. Raises sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as copy:
        (pages,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        if pages != "ok":
            return Audit(0, 0, "", (Finding("pages", str(pages)),))
        return audit(copy)


def restore(backup: Path, data_dir: Path) -> Restored:
    """Put a copy in the place of the ledger, in a new epoch; what was there is kept beside it.

    Raises LedgerUnusable: while a daemon runs, or when the copy is not right. Whenever it is interrupted,
    either ledger is whole in its place.
    """
    lock = take_lock(data_dir / "ledger.lock")
    try:
        found = verify(backup)
        if found.findings:
            raise LedgerUnusable(
                f"{backup} is not right: {found.findings[0].text}. Take another one", "SK-L06"
            )
        fresh = data_dir / UNFINISHED
        shutil.copyfile(backup, fresh)
        fresh.chmod(0o600)
        epoch = _begin_epoch(fresh, found.last_seq)
        _give_to_the_owner(fresh, data_dir)
        _flush(fresh)
        ledger = data_dir / "ledger.db"
        newest = _newest_of(ledger)
        replaced = _set_aside(ledger, data_dir) if ledger.exists() else None
        fresh.replace(ledger)
        _flush(data_dir)
        return Restored(backup, epoch, found.last_seq, replaced, newest)
    except (OSError, sqlite3.Error) as error:
        raise LedgerUnusable(
            f"{backup} could not be restored: {error}. Nothing was changed", "SK-L06"
        ) from error
    finally:
        os.close(lock)


def _copy(ledger_path: Path, unfinished: Path) -> None:
    """One read transaction, whole: in steps it would begin anew with each commit of the daemon."""
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with (
        contextlib.closing(connect(ledger_path)) as ledger,
        contextlib.closing(sqlite3.connect(unfinished)) as copy,
    ):
        ledger.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, to be read on a stick that is read-only, too


def _need_room(ledger_path: Path, folder: Path) -> None:
    needed = int(ledger_path.stat().st_size * ROOM_FACTOR)
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize
    if free < needed:
        raise LedgerUnusable(
            f"no backup: {folder} has {free / 1e6:.0f} MB free, {needed / 1e6:.0f} MB are needed:"
            " storekeeper backup prune, or another folder under [ledger] backup_dir",
            "SK-L05",
        )


def _give_to_the_owner(path: Path, folder: Path) -> None:
    """What root makes, the service must be able to read and to delete."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _epoch(path: Path) -> int:
    with contextlib.closing(connect(path)) as copy:
        return int(copy.execute("SELECT max(id) FROM epoch").fetchone()[0])


def _begin_epoch(path: Path, through_seq: int) -> int:
    """The same history goes on, and says so: nobody may take it for the one that was lost."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as fresh:
        migrate(fresh)
        fresh.execute(BEGIN_EPOCH, (Clock().now().wall_us, through_seq))
        return int(fresh.execute("SELECT max(id) FROM epoch").fetchone()[0])


def _newest_of(ledger: Path) -> int | None:
    """And its log is written into it, if it can be opened at all."""
    try:
        with contextlib.closing(sqlite3.connect(ledger, isolation_level=None)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return last_seq(old)
    except sqlite3.Error:
        return None


def _set_aside(ledger: Path, data_dir: Path) -> Path:
    """A second name for what is there; its own is given up last, by the new ledger that takes it."""
    number = 1 + len(list(data_dir.glob("replaced-*.db")))
    aside = data_dir / f"replaced-{number}.db"
    for end in PAGE_FILES:
        if Path(f"{ledger}{end}").exists():
            Path(f"{aside}{end}").unlink(missing_ok=True)
            Path(f"{aside}{end}").hardlink_to(f"{ledger}{end}")
    _flush(data_dir)
    for end in PAGE_FILES[1:]:
        Path(f"{ledger}{end}").unlink(missing_ok=True)
    return aside


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
