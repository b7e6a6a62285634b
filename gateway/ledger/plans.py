"""Rows of a document of master data that say what people know: plans, answers, daily factors, sister items.

{"plan": {"sku": "tea", "starts_on": "2026-12-01", "ends_on": "2026-12-06", "kind": "promotion", "strength": 1}}
{"plan": {"sku": "tea", "starts_on": "2026-12-01", "kind": "promotion", "drop": true}}      taken back
{"factor": {"name": "footfall", "known_ahead": false, "days": [["2026-11-24", 312], ...]}}
{"like": {"sku": "new-tea", "like_sku": "tea", "share": 0.8}}                               share 0: forgotten
"""

import math
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.ledger.master import Statement

KINDS = (
    "promotion", "display", "closed", "school_holiday", "one_off", "ordinary", "launch", "weekly_sums", "price",
)  # fmt: skip
WHOLE_SHOP = ("closed", "school_holiday")  # kinds that are never of one item
SHARE_MAX = 100.0
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
FIRST_DAY, LAST_DAY = "2000-01-01", "2099-12-31"  # of a factor: a clock that was never set says 1970
DAYS_MAX = 1000  # of a factor in one row


def statements_of(row: Mapping[str, Any], now_us: int) -> list[Statement]:
    """Raises ValueError, in words, for what makes no sense."""
    if "plan" in row:
        return [_plan(row["plan"], now_us)]
    if "factor" in row:
        return _factor(row["factor"])
    return [_like(row["like"])]


def _plan(plan: Mapping[str, Any], now_us: int) -> Statement:
    kind, sku = str(plan["kind"]), str(plan.get("sku") or "")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; use {', '.join(KINDS)}")
    if sku and kind in WHOLE_SHOP:
        raise ValueError(f"{kind} is of the whole shop, not of {sku}")
    starts_on = date.fromisoformat(str(plan["starts_on"]))
    if plan.get("drop"):
        return (
            "DELETE FROM plan WHERE sku = ? AND starts_on = ? AND kind = ?",
            (sku, starts_on.isoformat(), kind),
        )
    ends_on = date.fromisoformat(str(plan.get("ends_on") or starts_on))
    if ends_on < starts_on:
        raise ValueError(f"it ends on {ends_on}, before it starts on {starts_on}")
    strength = finite(plan.get("strength", 1), 0, 1)
    price = plan.get("price_minor")
    if (kind == "price") != (price is not None):
        raise ValueError("a plan of kind price has a price, and no other has one")
    values = (sku, starts_on.isoformat(), ends_on.isoformat(), kind, strength, price, now_us)
    return ("INSERT OR REPLACE INTO plan VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def _factor(factor: Mapping[str, Any]) -> list[Statement]:
    name = factor_name(str(factor["name"]))
    if len(factor["days"]) > DAYS_MAX:
        raise ValueError(
            f"{len(factor['days'])} days of {name} at once; at most {DAYS_MAX}, the rest after them"
        )
    made = ("INSERT OR REPLACE INTO factor VALUES (?, ?)", (name, int(bool(factor.get("known_ahead")))))
    days: list[Statement] = [
        ("INSERT OR REPLACE INTO factor_day VALUES (?, ?, ?)", (name, factor_day(str(day)), finite(value)))
        for day, value in factor["days"]
    ]
    return [made, *days]


def factor_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"a factor's name is 1 to 40 of a-z, 0-9, _ . and -, not {name!r}")
    return name


def factor_day(text: str) -> str:
    """YYYY-MM-DD; ValueError for what is no day, and for one that only a clock without a date would say."""
    day = date.fromisoformat(text).isoformat()
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"{day} is no day of a shop: use {FIRST_DAY} to {LAST_DAY}")
    return day


def _like(like: Mapping[str, Any]) -> Statement:
    sku, like_sku, share = str(like["sku"]), str(like["like_sku"]), finite(like.get("share", 1), 0, SHARE_MAX)
    if not share:
        return ("DELETE FROM item_like WHERE sku = ?", (sku,))
    if sku == like_sku:
        raise ValueError(f"{sku} is like itself; name another item")
    return ("INSERT OR REPLACE INTO item_like VALUES (?, ?, ?)", (sku, like_sku, share))


def finite(value: Any, low: float = -1e12, high: float = 1e12) -> float:
    """A number within its bounds; ValueError for NaN, infinity and what is none."""
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{value!r} is no number from {low:g} to {high:g}")
    return number


@dataclass(frozen=True, slots=True)
class Plan:
    """A line of the calendar; `sku` "" is the whole shop."""

    sku: str
    starts_on: str
    ends_on: str
    kind: str
    strength: float
    price_minor: int | None


def plans(ledger: sqlite3.Connection, sku: str | None = None, from_day: str = "") -> list[Plan]:
    """Those that end on `from_day` or later, the latest first; with `sku` only that item's."""
    rows = ledger.execute(
        """SELECT sku, starts_on, ends_on, kind, strength, price_minor FROM plan
           WHERE (:sku IS NULL OR sku = :sku) AND ends_on >= :from_day ORDER BY starts_on DESC, sku, kind""",
        {"sku": sku, "from_day": from_day},
    )
    return [Plan(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Factor:
    name: str
    known_ahead: bool
    days: int
    first_day: str
    last_day: str


def factors(ledger: sqlite3.Connection) -> list[Factor]:
    rows = ledger.execute(
        """SELECT name, known_ahead, count(day), coalesce(min(day), ''), coalesce(max(day), '')
           FROM factor LEFT JOIN factor_day USING (name) GROUP BY name ORDER BY name"""
    )
    return [Factor(name, bool(ahead), *rest) for name, ahead, *rest in rows]


def sister(ledger: sqlite3.Connection, sku: str) -> tuple[str, float] | None:
    """The item that this one is expected to sell like, and which share of it."""
    row = ledger.execute("SELECT like_sku, share FROM item_like WHERE sku = ?", (sku,)).fetchone()
    return None if row is None else (str(row[0]), float(row[1]))
