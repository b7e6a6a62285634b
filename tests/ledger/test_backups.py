"""A copy of the ledger counts only when it was proven, and the way back from one loses nothing silently."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from gateway.errors import LedgerUnusable
from gateway.ledger.audit import audit
from gateway.ledger.backups import backups, prune
from gateway.ledger.recovery import create, restore, verify
from gateway.ledger.writer import Writer
from gateway.stock.movements import Draft

NIGHT = datetime(2026, 11, 24, 3, 0)
MORNING = datetime(2026, 11, 25, 3, 0)
STOREKEEPER = str(Path(sys.executable).parent / "storekeeper")


def sell(writer: Writer, pieces: int) -> None:
    for _ in range(pieces):
        batch = writer.batch()
        seq = batch.last_seq + 1
        draft = Draft("sale", "00000000000017", 1, "shop", "CUSTOMER")
        batch.book(draft, "counter", f"counter/b1/{seq}/0")
        writer.commit(batch)


@pytest.fixture
def shop(tmp_path):
    """A data folder in which 10 pieces were sold; the daemon does not run."""
    writer = Writer(tmp_path, ballast_mb=0)
    sell(writer, 10)
    writer.close()
    return tmp_path


def copied(shop: Path, now: datetime = NIGHT, kept: int = 7):
    return create(shop / "ledger.db", shop / "backups", now, kept)


def test_a_copy_has_every_movement_and_says_in_its_name_which_is_the_newest(shop):
    made = copied(shop)

    assert made.path.name == "ledger-001-000000000010-20261124T0300.db"
    assert verify(made.path).movements == 10
    assert verify(made.path).findings == ()
    assert made.path.stat().st_mode & 0o777 == 0o600


def test_nothing_unfinished_is_left_beside_the_copies(shop):
    copied(shop)

    assert [path.name for path in (shop / "backups").iterdir()] == [
        "ledger-001-000000000010-20261124T0300.db"
    ]


def test_the_daemon_books_while_the_ledger_is_copied(shop):
    """The writer never waits: a commit in the middle of a long copy takes no longer than any other."""
    writer = Writer(shop, ballast_mb=0)
    stop = threading.Event()
    commits = 0

    def scans() -> None:
        nonlocal commits
        while not stop.is_set():
            sell(writer, 1)
            commits += 1

    clerk = threading.Thread(target=scans)
    clerk.start()
    try:
        made = [copied(shop) for _ in range(5)]
    finally:
        stop.set()
        clerk.join()
        writer.close()

    assert commits > 5
    assert [verify(one.path).findings for one in made[-1:]] == [()]
    assert made[0].last_seq < made[-1].last_seq


def test_a_copy_that_is_not_right_is_thrown_away_and_said(shop):
    with closing(sqlite3.connect(shop / "ledger.db")) as ledger:
        ledger.execute("UPDATE balance SET qty = qty + 1 WHERE loc = 'shop'")
        ledger.commit()

    with pytest.raises(LedgerUnusable, match=r"is not right \(balance of 00000000000017 at shop is -9"):
        copied(shop)
    assert backups(shop / "backups") == []


def test_a_folder_without_room_is_said_before_anything_is_written(shop):
    state = os.statvfs(shop)
    with (shop / "ledger.db").open("r+b") as ledger:
        ledger.truncate(
            state.f_bavail * state.f_frsize
        )  # with holes: it takes nothing, a copy would take all

    with pytest.raises(LedgerUnusable, match="MB are needed: storekeeper backup prune"):
        copied(shop)


def test_the_newest_seven_copies_stay(shop):
    for day in range(1, 10):
        writer = Writer(shop, ballast_mb=0)
        sell(writer, 1)
        writer.close()
        copied(shop, datetime(2026, 11, day, 3, 0))

    assert [one.last_seq for one in backups(shop / "backups")] == [19, 18, 17, 16, 15, 14, 13]


def test_a_shop_that_was_closed_for_days_keeps_its_history_of_copies(shop):
    copied(shop, NIGHT)
    copied(shop, MORNING)

    assert [one.made_at for one in backups(shop / "backups")] == ["20261125T0300"]


def test_the_order_of_copies_does_not_depend_on_the_clock(shop):
    copied(shop, datetime(2031, 1, 1))
    writer = Writer(shop, ballast_mb=0)
    sell(writer, 1)
    writer.close()
    copied(shop, datetime(2026, 1, 1))

    assert prune(shop / "backups", 1)[0].last_seq == 10


def test_a_restored_ledger_goes_on_in_a_new_epoch(shop):
    made = copied(shop)
    writer = Writer(shop, ballast_mb=0)
    sell(writer, 3)
    writer.close()

    done = restore(made.path, shop)

    assert (done.epoch, done.last_seq, done.lost_after_seq) == (2, 10, 13)
    writer = Writer(shop, ballast_mb=0)
    sell(writer, 1)
    newest = writer.connection.execute("SELECT seq, epoch FROM movement ORDER BY seq DESC LIMIT 1").fetchone()
    epoch = writer.connection.execute(
        "SELECT reason, parent_epoch, parent_seq FROM epoch WHERE id = 2"
    ).fetchone()
    found = audit(writer.connection).findings
    writer.close()
    assert newest == (11, 2)
    assert epoch == ("restore", 1, 10)
    assert found == ()


def test_what_a_restored_ledger_replaced_is_kept_whole(shop):
    made = copied(shop)
    writer = Writer(shop, ballast_mb=0)
    sell(writer, 3)
    writer.close()

    done = restore(made.path, shop)

    assert verify(done.replaced).movements == 13


def test_a_damaged_ledger_is_replaced_and_kept_as_it_is(shop):
    made = copied(shop)
    (shop / "ledger.db").write_bytes(b"\xa5" * 100_000)

    done = restore(made.path, shop)

    assert done.replaced.read_bytes() == b"\xa5" * 100_000
    assert done.lost_after_seq is None
    Writer(shop, ballast_mb=0).close()


def test_a_damaged_copy_is_not_restored(shop):
    made = copied(shop)
    with made.path.open("r+b") as copy:
        copy.seek(8192)
        copy.write(b"\xa5" * 4096)
    before = (shop / "ledger.db").read_bytes()

    with pytest.raises(LedgerUnusable, match=r"Take another one|Nothing was changed"):
        restore(made.path, shop)
    assert (shop / "ledger.db").read_bytes() == before


def test_nothing_is_restored_under_a_running_daemon(shop):
    made = copied(shop)
    writer = Writer(shop, ballast_mb=0)
    try:
        with pytest.raises(LedgerUnusable, match="used by another storekeeper"):
            restore(made.path, shop)
    finally:
        writer.close()


def storekeeper(shop: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (shop / "config.toml").write_text("[ledger]\nbackups_kept = 2\n")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STOREKEEPER_")}
    return subprocess.run(
        [STOREKEEPER, "backup", *words, "-c", str(shop / "config.toml")],
        capture_output=True,
        text=True,
        env=environment,
    )


def test_the_command_makes_lists_proves_and_restores(shop):
    made = json.loads(storekeeper(shop, "create", "--json").stdout)
    listed = json.loads(storekeeper(shop, "list", "--json").stdout)
    proven = json.loads(storekeeper(shop, "verify", "--json").stdout)
    back = storekeeper(shop, "restore", "newest", "--yes")

    assert made["last_seq"] == 10
    assert listed == [made]
    assert (proven["ok"], proven["movements"]) == (True, 10)
    assert back.returncode == 0
    assert back.stdout.startswith("10 movements are back; the ledger goes on as epoch 2.\n")


def test_a_copy_that_does_not_exist_is_said_with_the_remedy(shop):
    answer = storekeeper(shop, "verify")

    assert answer.returncode == 6
    assert "does not exist: storekeeper backup list says what there is" in answer.stderr
