"""SQLite without the locks that nobody needs. In a process of its own: it is the whole library that is set up."""

import subprocess
import sys

SCRIPT = """
import sqlite3, threading
from gateway.ledger.library import set_up_for_one_thread_a_connection

print(set_up_for_one_thread_a_connection())
ledger = sqlite3.connect(":memory:", check_same_thread=False)
ledger.execute("CREATE TABLE movement (seq)")
loop = threading.Thread(target=ledger.executemany, args=("INSERT INTO movement VALUES (?)", [(1,), (2,)]))
loop.start()
loop.join()
print(ledger.execute("SELECT count(*) FROM movement").fetchone(), sqlite3.connect(":memory:").total_changes)
"""


def test_the_library_takes_the_settings_and_works_as_before_on_a_thread_that_did_not_open_the_ledger():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert (done.stdout.split("\n", 1), done.stderr) == (["True", "(2,) 0\n"], "")
