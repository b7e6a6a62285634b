"""Words, numbers, money and dates in the reader's language: message files in `words/`, no library.

A message is text with `{names}`; one that depends on a number is a table of plural forms
(`one`, `few`, `many`, `other`, and `none` for zero where the language says it nicer).
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WORDS = Path(__file__).parent / "words"
LANGUAGES = ("en", "de", "pl")
MINOR_DIGITS = {"JPY": 0, "HUF": 2, "ISK": 0}
CURRENCY_SIGNS = {"EUR": "€", "GBP": "£", "USD": "$", "PLN": "zł"}
MINUS = "−"  # as wide as a digit, and read aloud as "minus"
THIN = "\u202f"  # narrow, and never broken over two lines
UNITS = {"gram": ("g", "kg"), "millilitre": ("ml", "l")}


def _plural_en(n: int) -> str:
    return "one" if n == 1 else "other"


def _plural_pl(n: int) -> str:
    if n == 1:
        return "one"
    return "few" if 2 <= n % 10 <= 4 and not 12 <= n % 100 <= 14 else "many"


PLURALS: dict[str, Callable[[int], str]] = {"en": _plural_en, "de": _plural_en, "pl": _plural_pl}


@cache
def words_of(language: str) -> dict[str, Any]:
    """The message file of a language, its sections flattened to dotted keys."""
    with (WORDS / f"{language}.toml").open("rb") as file:
        sections = tomllib.load(file)
    return {
        f"{section}.{key}": message for section, table in sections.items() for key, message in table.items()
    }


@dataclass(frozen=True, slots=True)
class Language:
    """How one reader wants to be spoken to."""

    code: str
    zone: ZoneInfo
    currency: str

    def say(self, key: str, **values: object) -> str:
        """The message, its `{names}` filled in. A missing key is our bug and raises KeyError."""
        message = words_of(self.code)[key]
        return message.format(**values) if values else str(message)

    def state(self, state: str) -> str:
        """A device's state in words; one that a newer driver host has thought of stays as it is."""
        return str(words_of(self.code).get(f"device.state.{state}", state))

    def count(self, key: str, n: int, **values: object) -> str:
        """The plural form of the message for `n`."""
        forms = words_of(self.code)[key]
        form = "none" if n == 0 and "none" in forms else PLURALS[self.code](abs(n))
        return str(forms.get(form, forms["other"])).format(n=self.number(n), **values)

    def number(self, value: float, digits: int = 0) -> str:
        """1234.5 -> "1,234.5" or "1.234,5" or "1 234,5"."""
        text = f"{abs(value):,.{digits}f}"
        thousands, point = {"en": (",", "."), "de": (".", ","), "pl": (THIN, ",")}[self.code]
        text = text.replace(",", "\0").replace(".", point).replace("\0", thousands)
        return f"{MINUS}{text}" if value < 0 else text

    def signed(self, value: int) -> str:
        """A change: always with its sign."""
        return f"+{self.number(value)}" if value > 0 else self.number(value)

    def pace(self, value: float, unit: str, signed: bool = False) -> str:
        """A mean amount a day: "5.2", "1.9 kg"; signed: "+0.4"."""
        digits = 1 if abs(value) < 100 else 0
        text = self.amount(round(value), unit) if unit in UNITS else self.number(value, digits)
        return f"+{text}" if signed and value > 0 else text

    def amount(self, value: int, unit: str) -> str:
        """A quantity in its base unit as people say it: "9", "850 g", "1.25 kg"."""
        if unit not in UNITS:
            return self.number(value)
        small, large = UNITS[unit]
        if abs(value) < 1000:
            return f"{self.number(value)}{THIN}{small}"
        digits = 3 if value % 10 else 2 if value % 100 else 1
        return f"{self.number(value / 1000, digits)}{THIN}{large}"

    def change(self, value: int, unit: str) -> str:
        text = self.amount(value, unit)
        return f"+{text}" if value > 0 else text

    def money(self, minor: int) -> str:
        """Minor units of the shop's currency: 129 -> "€1.29" or "1,29 €"."""
        digits = MINOR_DIGITS.get(self.currency, 2)
        number = self.number(abs(minor) / 10**digits, digits)
        sign = CURRENCY_SIGNS.get(self.currency, self.currency)
        before = self.code == "en" and len(sign) == 1
        text = f"{sign}{number}" if before else f"{number} {sign}"
        return f"{MINUS}{text}" if minor < 0 else text

    def price(self, minor: int, unit: str) -> str:
        """A price, per kg or litre where the item is counted in grams or millilitres."""
        return f"{self.money(minor)}/{UNITS[unit][1]}" if unit in UNITS else self.money(minor)

    def local(self, us: int) -> datetime:
        return datetime.fromtimestamp(us / 1e6, self.zone)

    def time(self, us: int, seconds: bool = False) -> str:
        return self.local(us).strftime("%H:%M:%S" if seconds else "%H:%M")

    def moment(self, us: int, now_us: int) -> str:
        """The time, with its day when that is not today."""
        day, today = self.local(us).date(), self.local(now_us).date()
        return self.time(us) if day == today else f"{self.day(day, today)} {self.time(us)}"

    def day(self, day: date, today: date) -> str:
        """ "today", "Thursday" within the next or last week, else "26 Nov"."""
        away = (day - today).days
        if away in (-1, 0, 1):
            return self.say(("when.yesterday", "when.today", "when.tomorrow")[away + 1])
        return self.weekday(day) if 1 < away < 7 else self.date(day, today)

    def weekday(self, day: date) -> str:
        return str(words_of(self.code)["when.weekdays"][day.weekday()])

    def date(self, day: date, today: date) -> str:
        month = words_of(self.code)["when.months"][day.month - 1]
        text = self.say("when.day_month", day=day.day, month=month)
        return text if abs((day - today).days) < 300 else f"{text} {day.year}"

    def iso_day(self, text: str, now_us: int) -> str:
        """An expiry date as people say it; a date that is none stays as it is."""
        try:
            return self.day(date.fromisoformat(text), self.local(now_us).date())
        except ValueError:
            return text

    def ago(self, us: int, now_us: int) -> str:
        """How long ago, roughly: "just now", "2 min ago", "3 h ago", then the day."""
        past = timedelta(microseconds=max(0, now_us - us))
        if past < timedelta(seconds=45):
            return self.say("when.just_now")
        if past < timedelta(minutes=90):
            return self.say("when.minutes_ago", n=max(1, round(past.total_seconds() / 60)))
        if past < timedelta(hours=20):
            return self.say("when.hours_ago", n=round(past.total_seconds() / 3600))
        return self.moment(us, now_us)


def language(code: str, timezone: str, currency: str) -> Language:
    """The language asked for; English and UTC where a setting names something that we do not have."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    return Language(code if code in LANGUAGES else "en", zone, currency)


def spoken(name: str) -> str:
    """A device's name as people say it: "counter-scanner" -> "Counter scanner"."""
    words = name.replace("-", " ").replace("_", " ").strip()
    return words[:1].upper() + words[1:]
