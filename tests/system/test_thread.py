"""The thin thread: a scan on a real serial line becomes a durable movement."""

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


def test_a_stop_is_clean_and_quick(tmp_path):
    with open_shop(tmp_path / "shop") as shop:
        shop.start()

        assert shop.stop() == 0
