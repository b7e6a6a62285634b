"""Items in by a table that a person made: good rows in, bad rows back with the reason."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from real_shop import RealShop

from gateway.cli.item_table import Wrong, codes_in, money_in, read_table, unit_in

DIRTY = """Bezeichnung;EAN;Preis;Regal;Einheit;Mindestbestand;Farbe
Green tea, loose;4311596431205;3,49;C3;;4;green
Peppermint tea;4311596431204;2,99;C3;;4;green
Raw sugar;4311596431212;12,5o;C4;;;
Rice, basmati;4311596431229 14311596431226*10;1.234,50;D1;kg;5;
;4311596431236;1,00;;;;
Oat drink 1 L;5901234123457;2,49;A3;;6;
"""


def nobody(_: str) -> None:
    return None


def test_each_bad_cell_is_named_with_its_row_its_column_and_what_would_be_right() -> None:
    table = read_table(DIRTY.encode(), nobody)

    assert [str(one) for one in table.errors] == [
        'row 3, column "EAN": 4311596431204 has a wrong check digit; did you mean 4311596431205?',
        'row 4, column "Preis": "12,5o" is not a number. Did you mean 12,50?',
        'row 6, column "Bezeichnung": is empty; a new item needs a name',
    ]
    assert table.ignored == ["Farbe"]


def test_good_rows_are_ready_for_the_ledger_in_its_own_words() -> None:
    table = read_table(DIRTY.encode(), nobody)

    assert table.rows[1] == {
        "sku": "04311596431229",
        "name": "Rice, basmati",
        "unit": "gram",
        "price_minor": 123450,
        "place": "D1",
        "low_units": 5,
        "codes": [("04311596431229", 1), ("14311596431226", 10)],
    }


def test_a_row_whose_code_we_know_keeps_that_items_key_whatever_its_own_key_column_lacks() -> None:
    table = read_table(b"gtin,price\n5901234123457,2.49\n", lambda code: "oat-drink")

    assert table.rows == [{"sku": "oat-drink", "price_minor": 249, "codes": [("05901234123457", 1)]}]


def test_the_same_code_in_two_rows_is_taken_once_and_the_second_is_said() -> None:
    table = read_table(b"sku,name,gtin\na,Tea,5901234123457\nb,Other tea,5901234123457\n", nobody)

    assert [row["sku"] for row in table.rows] == ["a"]
    assert "stands in an earlier row" in str(table.errors[0])


def test_a_file_that_is_no_table_of_items_says_what_was_found() -> None:
    table = read_table(b"\x89PNG\r\n\x1a\n\x00\x00", nobody)

    assert table.rows == []
    assert "no column is called name, sku or gtin" in str(table.errors[0])


@pytest.mark.parametrize(
    ("cell", "minor"),
    [
        ("12,50", 1250),
        ("€ 1,234.5", 123450),
        ("1 234,50 zł", 123450),
        ("7", 700),
        ("", None),
        ("1.234", 123400),
    ],
)
def test_money_is_read_with_either_comma_or_point(cell: str, minor: int | None) -> None:
    assert money_in("price_minor")(cell, 2) == ("price_minor", minor)


@pytest.mark.parametrize(
    ("cell", "unit"), [("", "piece"), ("Stk", "piece"), ("kg", "gram"), ("l", "millilitre")]
)
def test_units_are_understood_as_people_write_them(cell: str, unit: str) -> None:
    assert unit_in(cell, 2) == ("unit", unit)


def test_a_pack_of_no_pieces_is_refused() -> None:
    with pytest.raises(Wrong, match=r"as in 15901234123454\*12"):
        codes_in("15901234123454*0")


def items(shop: RealShop, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "gateway", "items", *words, "-c", str(shop.data_dir / "config.toml")]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def test_a_dirty_file_goes_in_as_far_as_it_is_good_and_the_rest_comes_back(
    shop: RealShop, tmp_path: Path
) -> None:
    file, bad = tmp_path / "items.csv", tmp_path / "bad.csv"
    file.write_text(DIRTY)

    dry = json.loads(items(shop, "import", str(file), "--dry-run", "--json").stdout)
    wet = items(shop, "import", str(file), "--errors", str(bad), "--json")
    again = json.loads(items(shop, "import", str(file), "--json").stdout)

    assert [dry[key] for key in ("new", "changed", "same", "errors")] == [2, 1, 0, 3]
    assert wet.returncode == 1
    assert [again[key] for key in ("new", "changed", "same", "errors")] == [0, 0, 3, 3]
    assert shop.ask("SELECT price_minor FROM item WHERE sku = 'oat-drink'") == 249
    assert len(bad.read_text().splitlines()) == 4


def test_what_was_exported_can_be_imported_and_changes_nothing(shop: RealShop, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"

    items(shop, "export", "-o", str(file))
    again = json.loads(items(shop, "import", str(file), "--json").stdout)

    assert again["new"] + again["changed"] + again["errors"] == 0
    assert again["same"] >= 12


def test_a_price_list_without_names_changes_prices_and_keeps_the_names(
    shop: RealShop, tmp_path: Path
) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("gtin,price\n4006381333931,3.05\n")

    told = json.loads(items(shop, "import", str(file), "--json").stdout)

    assert told["changed"] == 1
    assert shop.ask("SELECT name || price_minor FROM item WHERE sku = 'rye-bread'") == "Rye bread 500 g305"


def storekeeper(shop: RealShop, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "gateway", *words, "-c", str(shop.data_dir / "config.toml")]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def test_a_forecast_comes_with_its_range_and_its_error(shop: RealShop) -> None:
    told = json.loads(storekeeper(shop, "forecast", "5901234123457", "--days", "3", "--json").stdout)

    assert len(told["days"]) == 3
    assert all(day["low"] < day["mean"] < day["high"] for day in told["days"])
    assert (told["note"]["error_units"], told["note"]["simple_rule"]) == (1.25, False)


def test_the_model_says_who_serves_and_why(shop: RealShop) -> None:
    told = json.loads(storekeeper(shop, "model", "status", "--json").stdout)

    assert (told["items"], told["simple_rule_items"]) == (12, 1)
    assert told["versions"][0]["role"] == "champion"
    assert told["decisions"][-1]["why"] == "its error (1.1) is below that of the simple rule (1.5)"


def test_devices_list_says_which_device_is_not_there_and_fails(shop: RealShop) -> None:
    told = storekeeper(shop, "devices", "list", "--json")
    states = {row["name"]: row["state"] for row in json.loads(told.stdout)}

    assert states == {"counter-1": "running", "stockroom": "waiting"}
    assert told.returncode == 1


def test_an_alert_is_seen_to_from_the_command_line_and_leaves_the_list(shop: RealShop) -> None:
    (climate,) = [
        row
        for row in json.loads(storekeeper(shop, "alerts", "list", "--json").stdout)
        if row["kind"] == "climate"
    ]

    done = storekeeper(shop, "alerts", "ack", str(climate["id"]))

    left = json.loads(storekeeper(shop, "alerts", "list", "--json").stdout)
    assert done.returncode == 0
    assert climate["id"] not in {row["id"] for row in left}
