"""The forecast's pages on a real shop: what a person answers is in the ledger, and a night under way is seen."""

import json
import os
import subprocess
import sys
from typing import Any
from urllib.error import HTTPError

import pytest
from real_shop import RealShop, wait_for

PLAN = "SELECT kind FROM plan WHERE sku = ?"


def run(shop: RealShop, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "gateway", *words, "-c", str(shop.data_dir / "config.toml")]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def test_what_a_person_says_of_a_day_is_in_the_ledger_and_on_the_page_until_it_is_taken_back(
    shop: RealShop, page: Any
) -> None:
    page.goto(shop.address + "/item/oat-drink")
    page.click("#questions >> text=A one-off")
    page.wait_for_selector("text=You said: A one-off")
    said = shop.ask(PLAN, "oat-drink")

    page.click("#questions >> text=Take back")
    page.wait_for_selector("#questions >> text=A promotion")

    assert (said, shop.ask(PLAN, "oat-drink")) == ("one_off", None)


def test_a_day_ahead_is_told_to_the_forecast(shop: RealShop, page: Any) -> None:
    page.goto(shop.address + "/item/milk")
    page.click("text=Tell the forecast about a day")
    page.fill("details.say input[type=date]", "2030-12-01")
    page.click("details.say button")
    page.wait_for_load_state("load")

    assert shop.ask("SELECT kind || ' ' || ends_on FROM plan WHERE sku = 'milk'") == "promotion 2030-12-01"


@pytest.mark.parametrize(
    "form", [{"kind": "holiday", "day": "2026-01-01"}, {"kind": "promotion", "day": "tomorrow"}]
)
def test_an_answer_that_makes_no_sense_is_refused(shop: RealShop, form: dict[str, str]) -> None:
    with pytest.raises(HTTPError) as refused:
        shop.do("answer", sku="milk", **form)

    assert refused.value.code == 400


def test_a_night_under_way_is_seen_to_move(shop: RealShop, page: Any) -> None:
    told = shop.data_dir / "forecast.progress"
    told.write_text(json.dumps({"pid": os.getpid(), "stage": "learn", "percent": 30, "items": 0}))
    page.goto(shop.address + "/model")
    first = page.inner_text("#night")

    told.write_text(json.dumps({"pid": os.getpid(), "stage": "forecast", "percent": 81, "items": 900}))
    page.wait_for_selector("text=81 % done")
    listed = run(shop, "model", "status")
    told.unlink()

    assert "Learning" in first and "30 % done" in first
    assert "a night is under way: forecast, 81 %, 900 items" in listed.stderr
    wait_for(lambda: "Nothing to do just now" in page.inner_text("#night"), "the end of the night")


def test_a_worker_that_was_killed_is_not_shown_as_working(shop: RealShop) -> None:
    told = shop.data_dir / "forecast.progress"
    told.write_text(json.dumps({"pid": 2**22 + 1, "stage": "learn", "percent": 30, "items": 0}))

    assert "Nothing to do just now" in shop.page("/model")
    told.unlink()


def test_a_calendar_is_imported_and_its_bad_rows_are_named(shop: RealShop) -> None:
    file = shop.data_dir / "calendar.csv"
    file.write_text(
        "item,starts_on,ends_on,kind,price\n"
        "eggs,2030-03-01,2030-03-07,promotion,\n"
        ",2030-12-25,2030-12-26,closed,\n"
        "eggs,2030-05-01,2030-04-01,promotion,\n"
        "dragon,2030-05-01,,promotion,\n"
    )

    told = run(shop, "plans", "import", str(file))

    assert told.returncode == 1
    assert "plans: 2 taken, 2 left out" in told.stdout
    assert "calendar.csv row 4: it ends on 2030-04-01" in told.stderr
    assert "calendar.csv row 5: no item has the code 'dragon'" in told.stderr
    assert shop.ask("SELECT count(*) FROM plan WHERE starts_on LIKE '2030-03%' OR kind = 'closed'") == 2


def test_a_daily_series_and_a_sister_are_told(shop: RealShop) -> None:
    file = shop.data_dir / "footfall.csv"
    file.write_text('day,value\n2026-11-01,210\n2026-11-02,nan\n2026-11-03,"199,5"\n')

    series = run(shop, "plans", "factor", str(file))
    sister = run(shop, "plans", "like", "batteries", "eggs", "--share", "0.5")
    listed = json.loads(run(shop, "plans", "list", "--all", "--json").stdout)

    assert (series.returncode, sister.returncode) == (1, 0)
    assert "footfall.csv row 3" in series.stderr
    assert listed["factors"][0]["name"] == "footfall" and listed["factors"][0]["days"] == 2
    assert shop.ask("SELECT share FROM item_like WHERE sku = 'batteries'") == 0.5


def test_the_forecast_of_an_item_says_why(shop: RealShop) -> None:
    old, new = run(shop, "forecast", "oat-drink"), run(shop, "forecast", "yoghurt")

    assert "next week: 4.5 a day, weekday +0.5, promotion +1.0, trend -0.5, footfall +0.2" in old.stderr
    assert "off by 1.2 a day over the last four weeks, the simple rule by 1.7" in old.stderr
    assert "new here: expected to sell like milk" in new.stderr
