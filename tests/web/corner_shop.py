"""A small corner shop with six weeks behind it, written by the real writer: what the pages are tested on."""

import csv
import json
import random
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from sqlite3 import connect

from gateway.config import Device, Ledger, Settings, Shop, Web
from gateway.interpret import Parked
from gateway.ledger.migrate import SCHEMA
from gateway.ledger.writer import AlertRaised, Writer
from gateway.stock.movements import Draft, reversal
from gateway.stock.stations import Station

with (Path(__file__).parent / "corner_shop.csv").open(newline="") as table:
    ITEMS = list(csv.DictReader(table))
DAY_US = 86_400_000_000
SCANNER = "counter-1"


def settings(data_dir: Path, language: str = "en", port: int = 0) -> Settings:
    """Two scanners, a scale and a thermometer; a back office that cannot be reached just now."""
    from gateway.config import Mqtt

    return Settings(
        path=data_dir / "config.toml",
        shop=Shop(name="Corner shop", language=language, timezone="Europe/Berlin"),
        ledger=Ledger(data_dir=data_dir, ballast_mb=0),
        web=Web(port=port),
        mqtt=Mqtt(enabled=True),
        devices=(
            Device(SCANNER, "serial_scanner", mode="sell", location="shop"),
            Device("stockroom", "hid_scanner", mode="receive", location="shop"),
            Device("deli-scale", "scale_mtsics"),
            Device("fridge-2", "thermometer_ds18b20"),
        ),
    )


def build(data_dir: Path, now_us: int | None = None, seed: int = 7) -> Writer:
    """The shop's ledger.db and telemetry.db. The writer is left open, so that a test may go on booking."""
    now_us = now_us or time.time_ns() // 1000
    rng = random.Random(seed)
    writer = Writer(data_dir, ballast_mb=0)
    today = datetime.fromtimestamp(now_us / 1e6, UTC).date()
    name_items(writer, today, now_us)
    sell_six_weeks(writer, rng, now_us)
    this_morning(writer, now_us, today)
    telemetry(data_dir, now_us)
    forecast(data_dir, now_us)
    return writer


def name_items(writer: Writer, today: date, now_us: int) -> None:
    batch = writer.batch()
    batch.stamp = replace(batch.stamp, wall_us=now_us - 43 * DAY_US)
    for number, row in enumerate(ITEMS):
        sku, price = row["sku"], int(row["price_minor"])
        batch.statements += [
            (
                """INSERT INTO item (sku, name, category, unit, price_minor, cost_minor, place, stocked, low_units,
                   supplier, pack_units, changed_us) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?)""",
                (
                    sku,
                    row["name"],
                    row["category"],
                    row["unit"],
                    price,
                    price * 6 // 10,
                    row["place"],
                    int(row["low_units"]) if row["low_units"] else None,
                    row["supplier"],
                    int(row["pack_units"]),
                    now_us,
                ),
            ),
            ("INSERT INTO code VALUES (?, ?, 1)", (row["gtin"].zfill(14), sku)),
        ]
        opening = Draft("opening", sku, int(row["opening"]), "ADJUST", "shop", origin="count")
        batch.book(opening, "web", f"web/b0/{number}/0")
    batch.statements.append(("INSERT INTO code VALUES ('15901234123454', 'oat-drink', 12)", ()))
    soon = (today + timedelta(days=2)).isoformat()
    for part, (sku, lot, expiry) in enumerate(
        (("yoghurt", "L2311", soon), ("rye-bread", "B77", (today - timedelta(days=1)).isoformat()))
    ):
        draft = Draft("receipt", sku, 3, "SUPPLIER", "shop", lot=lot, expires_on=expiry)
        batch.book(draft, "stockroom", f"stockroom/b0/99/{part}")
    writer.commit(batch)


def sell_six_weeks(writer: Writer, rng: random.Random, now_us: int) -> None:
    """What was sold each day between 9 and 19; every morning as much is delivered again."""
    midnight = datetime.fromtimestamp(now_us / 1e6, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for days_ago in range(42, 0, -1):
        opening_us = int((midnight - timedelta(days=days_ago)).timestamp() + 9 * 3600) * 1_000_000
        sales: list[tuple[int, Draft]] = []
        batch = writer.batch()
        batch.stamp = replace(batch.stamp, wall_us=opening_us)
        for number, row in enumerate(ITEMS):
            sku, unit, a_day = row["sku"], row["unit"], int(row["sold_a_day"])
            units = round(max(0.0, rng.gauss(a_day, a_day / 3)))
            if not units:
                continue
            delivery = Draft("receipt", sku, units, "SUPPLIER", "shop", origin="file")
            batch.book(delivery, "stockroom", f"stockroom/d{days_ago}/{number}/0")
            for part in in_parts(units, 2 if unit == "gram" else 4):
                value = int(row["price_minor"]) * part // (1000 if unit == "gram" else 1)
                sale = Draft("sale", sku, part, "shop", "CUSTOMER", value_minor=value)
                sales.append((opening_us + rng.randrange(10 * 3_600_000_000), sale))
        for number, (moment, sale) in enumerate(sorted(sales, key=lambda one: one[0])):
            batch.stamp = replace(batch.stamp, wall_us=moment)
            batch.book(sale, SCANNER, f"{SCANNER}/d{days_ago}/{number}/0")
        writer.commit(batch)


def in_parts(units: int, parts: int) -> list[int]:
    """9 in 4 -> 3, 2, 2, 2; nothing empty."""
    return [one for one in (units // parts + (part < units % parts) for part in range(parts)) if one]


def this_morning(writer: Writer, now_us: int, today: date) -> None:
    """The last hour at the counter: what the pages show first."""
    minute = 60_000_000
    book = (
        (52, "receipt", "oat-drink", 12, "stockroom"),
        (44, "sale", "milk", 2, SCANNER),
        (41, "sale", "apples", 840, SCANNER),
        (33, "sale", "long", 1, SCANNER),
        (27, "sale", "batteries", 3, SCANNER),  # more than there were: the shelf wants a count
        (14, "sale", "eggs", 1, SCANNER),
        (9, "sale", "coffee", 1, SCANNER),
        (4, "sale", "script", 1, SCANNER),
        (3, "sale", "yoghurt", 2, SCANNER),
        (2, "sale", "rye-bread", 1, SCANNER),
        (1, "sale", "oat-drink", 1, SCANNER),
    )
    for number, (minutes_ago, kind, sku, units, device) in enumerate(book):
        batch = writer.batch()
        batch.stamp = replace(batch.stamp, wall_us=now_us - minutes_ago * minute)
        ends = ("SUPPLIER", "shop") if kind == "receipt" else ("shop", "CUSTOMER")
        price = next(int(row["price_minor"]) for row in ITEMS if row["sku"] == sku)
        value = price * units // (1000 if sku == "apples" else 1)
        draft = Draft(kind, sku, units, *ends, value_minor=value)  # type: ignore[arg-type]
        seq = batch.book(draft, device, f"{device}/now/{number}/0")
        if sku == "coffee":
            taken_back = reversal(draft, seq, occurred_us=None, origin="scan")
            batch.book(taken_back, device, f"{device}/now/{100 + number}/0")
        writer.commit(batch)
    batch = writer.batch()
    batch.stamp = replace(batch.stamp, wall_us=now_us - 6 * minute)
    for number in range(3):
        parked = Parked("08711000000007", "8711000000007", None, "sell", "shop", 1)
        batch.park(parked, SCANNER, "now", 200 + number)
    batch.stations[SCANNER] = Station.at_home(SCANNER, "sell", "shop")
    batch.stations["stockroom"] = Station.at_home("stockroom", "receive", "shop")
    batch.alerts.append(
        AlertRaised("climate", "fridge-2", "warning", "Fridge 2 is at 8.4 °C for 22 minutes; 7 °C is allowed")
    )
    writer.commit(batch)


def forecast(data_dir: Path, now_us: int) -> None:
    """Two weeks ahead for what sells, as the models worker writes it: busier at the end of each week."""
    from models.store import open_store

    today = datetime.fromtimestamp(now_us / 1e6, UTC).date()
    store = open_store(data_dir / "forecast.db")
    for row in ITEMS:
        a_day = float(row["sold_a_day"])
        for ahead in range(1, 22):
            day = today + timedelta(days=ahead)
            mean = a_day * (1.25 if day.weekday() in (4, 5) else 0.9)
            spread = mean * (0.35 + 0.02 * ahead)
            quantiles = (max(0.0, mean - spread), mean, mean + spread, mean + 1.4 * spread, mean + 2 * spread)
            values = (row["sku"], day.isoformat(), mean, *quantiles)
            store.execute("INSERT INTO forecast VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        pieces = {"level": 0.9 * a_day, "weekday": 0.1 * a_day, "promotion": 0.2 * a_day, "trend": -0.1 * a_day,
                  "footfall": 0.05 * a_day, "holiday": 0.0}  # fmt: skip
        simple = int(row["sku"] == "choc")
        note = (row["sku"], "v1", today.isoformat(), a_day / 4, a_day / 3, simple, json.dumps(pieces))
        store.execute("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?)", note)
    store.execute("UPDATE item SET model = 'new, like milk', error_units = NULL WHERE sku = 'yoghurt'")
    yesterday = (today - timedelta(days=1)).isoformat()
    for sku, kind, units in (
        ("oat-drink", "spike", 31),
        ("milk", "level_down", 12),
        ("eggs", "double_booking", 16),
    ):
        odd = (sku, yesterday, kind, units, 9.0, 4.0, 15.0, 0.001, f"sold {units}; 4 to 15 were likely")
        store.execute("INSERT INTO anomaly VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", odd)
    warm = (
        "fridge-2",
        yesterday,
        "sensor",
        8.4,
        5.0,
        3.5,
        6.5,
        0.001,
        "8.4 degrees on the mean of the day; 3.5 to 6.5 are usual",
    )
    store.execute("INSERT INTO anomaly VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", warm)
    effects = [
        {"name": "footfall", "on": True, "shop": 0.12},
        {"name": "fridge-2", "on": False, "shop": 0.0},
    ]
    for name, value in (("effects", json.dumps(effects)), ("made_us", now_us), ("forecast_day", yesterday)):
        store.execute("INSERT INTO state VALUES (?, ?)", (name, str(value)))
    decision = (today.isoformat(), "promoted", "v1", "its error (1.1) is below that of the simple rule (1.5)")
    store.execute("INSERT INTO decision (day, action, version, why) VALUES (?, ?, ?, ?)", decision)
    found = (
        today.isoformat(),
        "factor on",
        "footfall",
        "the error of the last 112 days is 6.1 % smaller with it",
    )
    store.execute("INSERT INTO decision (day, action, version, why) VALUES (?, ?, ?, ?)", found)
    store.execute(
        "INSERT INTO model VALUES ('v1', 'champion', ?, 1.1, 1.5, x'', x'', x'')", (today.isoformat(),)
    )
    store.execute("INSERT INTO state VALUES ('served_by', 'model')")
    store.close()


def telemetry(data_dir: Path, now_us: int) -> None:
    with connect(data_dir / "telemetry.db", isolation_level=None) as file:
        file.execute("PRAGMA journal_mode = wal")
        file.executescript((SCHEMA / "telemetry.sql").read_text())
        row = "INSERT OR REPLACE INTO device_state VALUES (?, ?, ?, ?, ?, ?, ?)"
        hour = 3_600_000_000
        states = (
            (SCANNER, "serial_scanner", "running", "", now_us - 9 * hour, now_us - 60_000_000,
             '{"readings": 1412, "garbled": 3}'),
            ("stockroom", "hid_scanner", "waiting",
             "unplugged at 14:02: plug it into the same port, it continues by itself",
             now_us - 1_400_000_000, now_us - 52 * 60_000_000, '{"readings": 96}'),
            ("deli-scale", "scale_mtsics", "running", "", now_us - 9 * hour, now_us - 41 * 60_000_000,
             '{"readings": 220}'),
            ("fridge-2", "thermometer_ds18b20", "running", "", now_us - 9 * hour, now_us - 9_000_000,
             '{"readings": 3300}'),
        )  # fmt: skip
        file.executemany(row, states)
        file.execute("INSERT INTO sample VALUES ('fridge-2', '', ?, 'celsius', 8.4)", (now_us - 9_000_000,))
        offline = ("back office", "offline", "name not found", now_us - 5 * hour)
        file.execute("INSERT OR REPLACE INTO link_state VALUES (?, ?, ?, ?)", offline)
