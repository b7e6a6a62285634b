"""The thin thread: a scan on a real serial line becomes a durable movement."""

import signal
import time

from tests.system.shop import open_shop


def test_a_scan_at_the_counter_is_answered_only_when_it_is_in_the_ledger(tmp_path):
    with open_shop(tmp_path / "shop") as shop:
        shop.start()
        code = shop.add_items(1)[0]

        shop.ports["counter"].scan(code)

        assert shop.ports["counter"].hear() == "negative Item 1: -1, please count shelf (no place)"
        assert shop.rows("SELECT seq, kind, sku, qty, src, dst FROM movement") == [
            (1, "sale", code.zfill(14), 1, "shop", "CUSTOMER")
        ]


def test_a_stop_is_clean(tmp_path):
    with open_shop(tmp_path / "shop") as shop:
        shop.start()

        assert shop.stop() == 0


def test_a_scan_in_the_moment_of_a_stop_is_counted_or_not_read_at_all(tmp_path, capsys):
    with open_shop(tmp_path / "shop") as shop:
        shop.start()
        code, counter, sent = shop.add_items(1)[0], shop.ports["counter"], 0
        time.sleep(0.5)

        shop.daemon.send_signal(signal.SIGTERM)
        asked_s = time.monotonic()
        while shop.daemon.poll() is None and time.monotonic() < asked_s + 120:
            sent += counter.scan(code)
            time.sleep(0.01)
        took_s = time.monotonic() - asked_s

        assert shop.on_hand(code.zfill(14)) == -(sent - counter.drain_unread())
        assert shop.daemon.returncode == 0
    with capsys.disabled():
        print(f"\n  stopped in {took_s:.2f} s while somebody scans")
