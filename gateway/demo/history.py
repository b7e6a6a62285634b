"""Ninety days of a shop's life, seeded: sales in baskets, deliveries with lots, waste, a count now and then.

Booked through the ledger's own writer, with the time at which it happened.
"""

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gateway.clock import Stamp
from gateway.demo.catalogue import ARTICLES, Article, master_rows
from gateway.ledger.master import upsert_item
from gateway.ledger.writer import Writer
from gateway.stock.lots import LotStock, fefo
from gateway.stock.movements import Draft

DAYS = 90
OPENS, CLOSES = 7, 20  # hours
SHELF = "shop"
WEEKDAY = (0.9, 0.85, 0.9, 0.95, 1.25, 1.35, 0.8)  # Monday first
DELIVERY_DAYS = {"Baker Anna": range(7), "Hill Farm Dairy": (0, 2, 4), "Green & Sons": (0, 1, 3, 5)}
WHOLESALE_DAYS = (1, 4)
BATCH_ROWS = 2_000


@dataclass(slots=True)
class Life:
    """The shelf as the simulation sees it."""

    rng: random.Random
    zone: ZoneInfo
    lots: dict[str, dict[str, LotStock]]
    lost: Counter[str]

    def on_hand(self, sku: str) -> int:
        return sum(lot.quantity for lot in self.lots[sku].values())

    def at(self, day: date, hour: float) -> datetime:
        """That hour by the clock on the shop's wall."""
        return datetime.combine(day, time(), self.zone) + timedelta(hours=hour)

    def change(self, sku: str, lot: str, by: int, expires_on: str | None) -> None:
        before = self.lots[sku].get(lot)
        quantity = by + (before.quantity if before else 0)
        self.lots[sku][lot] = LotStock(lot, quantity, expires_on)


def write_history(
    writer: Writer, seed: int, zone: ZoneInfo, today: date, progress: Callable[[int, int], None]
) -> int:
    """Fill an empty ledger with the DAYS before `today` in `zone`; how many movements that were."""
    batch = writer.batch()
    for row in master_rows():
        batch.statements += upsert_item(row, batch.stamp.wall_us)
    batch.statements.append(("INSERT OR IGNORE INTO location VALUES (?, ?)", (SHELF, "Shop")))
    writer.commit(batch)

    life = Life(random.Random(seed), zone, {article.sku: {} for article in ARTICLES}, Counter())
    booked = 0
    for number in range(DAYS):
        day = today - timedelta(days=DAYS - number)
        happened = sorted(_day(life, day, first=number == 0), key=lambda one: one[0])
        for begin in range(0, len(happened), BATCH_ROWS):
            part = happened[begin : begin + BATCH_ROWS]
            batch = writer.batch()
            batch.stamp = _stamp(part[-1][0], batch.stamp)
            for _, draft in part:
                booked += 1
                batch.book(draft, "history", f"history/{seed}/{booked}/0")
            writer.commit(batch)
        progress(number + 1, DAYS)
    return booked


def _day(life: Life, day: date, *, first: bool) -> list[tuple[datetime, Draft]]:
    """All that happens on one day, with its time."""
    happened: list[tuple[datetime, Draft]] = []
    for article in ARTICLES:
        if first:
            happened += _deliver(life, day, article, math.ceil(article.daily * 6), kind_opening=True)
        elif day.weekday() in DELIVERY_DAYS.get(article.supplier, WHOLESALE_DAYS):
            happened += _deliver(life, day, article, _ordered_units(life, article))
    happened += _customers(life, day)
    for article in ARTICLES:
        happened += _throw_away(life, day, article)
    return happened


def _ordered_units(life: Life, article: Article) -> int:
    """The owner's rule of thumb: up to so many days, in whole packs."""
    days = {"Baker Anna": 1.6, "Hill Farm Dairy": 4.5, "Green & Sons": 3.5}.get(article.supplier, 8)
    missing = article.daily * days * life.rng.uniform(0.85, 1.2) - life.on_hand(article.sku)
    return max(0, math.ceil(missing / article.pack_units)) * article.pack_units


def _deliver(
    life: Life, day: date, article: Article, units: int, *, kind_opening: bool = False
) -> list[tuple[datetime, Draft]]:
    if units == 0:
        return []
    moment = life.at(day, OPENS - 1 + life.rng.random())
    lot, expires_on = "", None
    if article.shelf_days:
        fresh = max(1, round(article.shelf_days * life.rng.uniform(0.75, 1.0)))
        expires_on = (day + timedelta(days=fresh)).isoformat()
        lot = f"L{day:%y%m%d}"
    life.change(article.sku, lot, units, expires_on)
    draft = Draft(
        kind="opening" if kind_opening else "receipt",
        sku=article.sku,
        quantity=units,
        source="ADJUST" if kind_opening else "SUPPLIER",
        destination=SHELF,
        lot=lot,
        expires_on=expires_on,
        document=None if kind_opening else f"DN-{article.supplier[:2].upper()}-{day:%y%m%d}",
        occurred_us=_us(moment),
        occurred_quality="ntp",
        value_minor=article.cost_minor * units,
    )
    return [(moment, draft)]


def _customers(life: Life, day: date) -> list[tuple[datetime, Draft]]:
    """Baskets through the day, with a peak before lunch and one after work."""
    wanted: list[Article] = []
    drift = 1 + 0.12 * math.sin(day.timetuple().tm_yday / 29)
    for article in ARTICLES:
        weekend = article.weekend if day.weekday() in (4, 5) else 1.0
        mean = article.daily * WEEKDAY[day.weekday()] * weekend * drift
        wanted += [article] * _poisson(life.rng, mean)
    life.rng.shuffle(wanted)
    happened: list[tuple[datetime, Draft]] = []
    receipt = 0
    while wanted:
        receipt += 1
        moment = life.at(day, _hour(life.rng))
        for line in range(1, 1 + min(len(wanted), 1 + _poisson(life.rng, 2.2))):
            article = wanted.pop()
            happened += _sell(life, day, article, moment + timedelta(seconds=3 * line), receipt, line)
    return happened


def _sell(
    life: Life, day: date, article: Article, moment: datetime, receipt: int, line: int
) -> list[tuple[datetime, Draft]]:
    lots = [lot for lot in life.lots[article.sku].values() if lot.quantity > 0]
    if not lots:
        life.lost[article.sku] += 1
        return []
    ((lot, quantity),) = fefo(lots, 1, day.isoformat())[:1]
    if lot.quantity == 0:
        return []  # only expired ones left
    life.change(article.sku, lot.lot, -quantity, lot.expires_on)
    draft = Draft(
        kind="sale",
        sku=article.sku,
        quantity=quantity,
        source=SHELF,
        destination="CUSTOMER",
        lot=lot.lot,
        expires_on=lot.expires_on,
        occurred_us=_us(moment),
        occurred_quality="ntp",
        value_minor=article.price_minor * quantity,
        basket=f"{day:%y%m%d}-{receipt:03d}",
        line=line,
    )
    return [(moment, draft)]


def _throw_away(life: Life, day: date, article: Article) -> list[tuple[datetime, Draft]]:
    """At closing time, what expires today; most of it is found."""
    happened = []
    for lot in list(life.lots[article.sku].values()):
        if lot.quantity > 0 and lot.expires_on is not None and lot.expires_on <= day.isoformat():
            moment = life.at(day, CLOSES + 0.2 + 0.3 * life.rng.random())
            life.change(article.sku, lot.lot, -lot.quantity, lot.expires_on)
            draft = Draft(
                kind="waste",
                sku=article.sku,
                quantity=lot.quantity,
                source=SHELF,
                destination="SCRAP",
                lot=lot.lot,
                expires_on=lot.expires_on,
                reason="expired",
                occurred_us=_us(moment),
                occurred_quality="ntp",
                value_minor=article.cost_minor * lot.quantity,
            )
            happened.append((moment, draft))
    return happened


def _hour(rng: random.Random) -> float:
    peak = rng.choice((11.5, 17.5, 17.5, None))
    hour = rng.uniform(OPENS, CLOSES) if peak is None else rng.gauss(peak, 1.3)
    return min(max(hour, OPENS), CLOSES - 0.1)


def _poisson(rng: random.Random, mean: float) -> int:
    """Knuth's method: exact for the small means of a shelf."""
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def _us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def _stamp(moment: datetime, now: Stamp) -> Stamp:
    return Stamp(_us(moment), now.mono_ns, now.hlc, "ntp")
