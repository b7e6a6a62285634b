"""What needs a person, sorted by how much it matters: at most seven cards, one for each cause."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from gateway.ledger import queries
from gateway.web.face import Face, Reader
from gateway.web.language import spoken
from gateway.web.repair import remedy

CARDS_MAX = 7
DAYS_BACK = 14
EXPIRES_WITHIN_DAYS = 3
NAMES_SHOWN = 3
COVERED = ("negative_stock", "device_gone", "device_muted")  # kinds of alerts that have a card of their own
URGENCY = {"bad": 0, "warn": 1, "": 2}


@dataclass(frozen=True, slots=True)
class Card:
    """A thing to do: what it is, why, and where to do it. `alert` is set when it can be acknowledged."""

    icon: str
    tone: str  # bad, warn or ""
    title: str
    text: str
    href: str
    action: str
    alert: int | None = None


def cards(reader: Reader) -> list[Card]:
    """Everything that wants a person, the most urgent first."""
    found = [
        *device_cards(reader),
        *alert_cards(reader),
        *expiry_cards(reader),
        *negative_cards(reader),
        *unknown_cards(reader),
        *short_cards(reader),
    ]
    return sorted(found, key=lambda card: URGENCY[card.tone])


def device_cards(reader: Reader) -> list[Card]:
    t = reader.words.say
    return [
        Card("devices", "bad", f"{spoken(state.device)}: {reader.words.state(state.state)}",
             remedy(reader, state), "/devices", t("today.to_devices"))
        for state in reader.face.device_states().values()
        if state.state not in ("running", "starting", "disabled")
    ]  # fmt: skip


def alert_cards(reader: Reader) -> list[Card]:
    tones = {"critical": "bad", "warning": "warn"}
    return [
        Card("alerts", tones.get(alert.severity, ""), alert.text,
             reader.words.ago(alert.last_us, reader.now_us), "/alerts", reader.words.say("today.to_alerts"),
             alert.id)
        for alert in queries.alerts(reader.face.ledger)
        if alert.kind not in COVERED
    ]  # fmt: skip


def expiry_cards(reader: Reader) -> list[Card]:
    today = reader.words.local(reader.now_us).date()
    until = today + timedelta(days=EXPIRES_WITHIN_DAYS)
    lots = queries.expiring(reader.face.ledger, until.isoformat())
    gone = [lot for lot in lots if lot.expiry < today.isoformat()]
    soon = [lot for lot in lots if lot.expiry >= today.isoformat()]
    found = []
    for key, tone, group in (("expired", "warn", gone), ("expire", "", soon)):
        if group:
            title = reader.words.count(f"today.{key}", len(group))
            names = [
                f"{lot.name} ({reader.words.amount(lot.qty, lot.unit)}, "
                f"{reader.words.iso_day(lot.expiry, reader.now_us)})"
                for lot in group
            ]
            href = f"/item/{group[0].sku}" if len(group) == 1 else "/stock?show=expiring"
            found.append(
                Card("expiry", tone, title, listed(reader, names), href, reader.words.say("today.see"))
            )
    return found


def negative_cards(reader: Reader) -> list[Card]:
    items = queries.negative(reader.face.ledger)
    if not items:
        return []
    names = [
        f"{one.name} ({reader.words.amount(one.on_hand, one.unit)})" + (f", {one.place}" if one.place else "")
        for one in items
    ]
    href = f"/item/{items[0].sku}" if len(items) == 1 else "/stock?show=short"
    title = reader.words.count("today.count", len(items))
    return [Card("count", "warn", title, listed(reader, names), href, reader.words.say("today.see"))]


def unknown_cards(reader: Reader) -> list[Card]:
    codes = queries.parked(reader.face.ledger)
    if not codes:
        return []
    scans = sum(code.scans for code in codes)
    text = reader.words.count("today.scans_wait", scans)
    title = reader.words.count("today.unknown", len(codes))
    return [Card("unknown", "warn", title, text, "/unknown", reader.words.say("today.name"))]


def short_cards(reader: Reader) -> list[Card]:
    short = [one for one in queries.items(reader.face.ledger, short=True) if one.on_hand >= 0]
    if not short:
        return []
    names = [f"{one.name} ({reader.words.amount(one.on_hand, one.unit)})" for one in short]
    title = reader.words.count("today.short", len(short))
    return [
        Card("stock", "", title, listed(reader, names), "/stock?show=short", reader.words.say("today.see"))
    ]


def listed(reader: Reader, names: list[str]) -> str:
    """The first names, and how many more there are."""
    text = ", ".join(names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return f"{text} {reader.words.count('today.and_more', more)}" if more > 0 else text


@dataclass(frozen=True, slots=True)
class Day:
    day: date
    units: int
    sales: int
    value_minor: int


def sold_by_day(face: Face, reader: Reader, days: int = DAYS_BACK, sku: str = "") -> list[Day]:
    """Sales of the last `days` days, today last, every day there."""
    zone = reader.words.zone
    last = reader.words.local(reader.now_us).date()
    first = last - timedelta(days=days - 1)
    since_us = int(datetime.combine(first, time(), zone).timestamp() * 1e6)
    sums = dict.fromkeys((first + timedelta(days=n) for n in range(days)), (0, 0, 0))
    for part in queries.sold(face.ledger, since_us, sku):
        day = reader.words.local(part.from_us).date()
        if day in sums:
            before, more = sums[day], (part.units, part.sales, part.value_minor)
            sums[day] = (before[0] + more[0], before[1] + more[1], before[2] + more[2])
    return [Day(day, *sum_of_day) for day, sum_of_day in sums.items()]
