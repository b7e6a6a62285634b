"""A scanner that takes no answers for a while: what was booked meanwhile is said when it takes them again."""

import contextlib
import sqlite3
from collections import Counter

from tests.system.shop import open_shop
from tests.system.test_kills import BOOKED, ITEM, sales_by_item

SCANS_MAX = 20_000  # more answers than a line holds, whatever its kernel


def test_what_was_booked_while_a_scanner_took_no_answers_is_said_when_it_does(tmp_path):
    with open_shop(tmp_path) as shop:
        codes = shop.start().add_items(50)
        scanner = shop.ports["counter"]
        for number in range(SCANS_MAX):
            if not scanner.scan(codes[number % 50]):
                break
        shop.wait_until(lambda: was_given_up(shop), "the driver gives up on the device")

        said: Counter[int] = Counter()

        def all_is_said() -> bool:
            for line in scanner.hear_all(0.1):
                if line.split(" ", 1)[0] in (*BOOKED, "late") and (found := ITEM.search(line)):
                    said[int(found[1])] += 1
            return not scanner.unread_bytes() and sales_by_item(shop) - said == Counter()

        shop.wait_until(all_is_said, "each sale in the ledger is said")
        assert said.total() > 1_000  # and that were many


def was_given_up(shop):
    with contextlib.closing(sqlite3.connect(f"file:{shop.data_dir}/telemetry.db?mode=ro", uri=True)) as told:
        return told.execute("SELECT json_extract(counts, '$.gone') FROM device_state").fetchone()[0]
