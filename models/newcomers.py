"""What the ledger and forecast.db say of items with few days of their own: profile, sisters, items never sold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import numpy as np

from models import store as db
from models.cold_start import COLD_DAYS, SISTER_CV, Profile, Start, forecast_of, profile_of
from models.learn import Forecast
from models.panel import Floats
from models.series import has_table

PROFILE_ITEMS_MAX = 1500
REACH_DAYS = 56
SPANS = (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 28, 35, 42, 49, 56)
WINDOWS = (*((0, span) for span in SPANS), (7, 7), (14, 7), (21, 7))


def sisters_of(ledger: sqlite3.Connection) -> list[tuple[str, str, float]]:
    """(item, the one it is like, share), as the owner said."""
    if not has_table(ledger, "item_like"):
        return []
    return ledger.execute("SELECT sku, like_sku, share FROM item_like ORDER BY sku").fetchall()


class Newcomers:
    """Of one night. The profile is made when the first item asks for it: in a settled shop none does."""

    def __init__(
        self, store: sqlite3.Connection, ledger: sqlite3.Connection, categories: dict[str, str], through: date
    ) -> None:
        self._store = store
        self._categories = categories
        self._through = through.toordinal()
        self._profile: Profile | None = None
        self._like = {sku: like for sku, like, _ in sisters_of(ledger)}
        self.sisters = {
            sku: share * rate for sku, like, share in sisters_of(ledger) if (rate := self._rate(like)) > 0
        }

    def _rate(self, sku: str) -> float:
        series = db.read_one_series(self._store, sku)
        days = min(COLD_DAYS, self._through - series.first_day + 1)
        if not len(series.demand) or days <= 0:
            return 0.0
        return float(series.demand[max(0, self._through - COLD_DAYS + 1 - series.first_day) :].sum()) / days

    def profile(self) -> Profile:
        if self._profile is None:
            (count, first) = self._store.execute("SELECT count(*), min(first_day) FROM demand").fetchone()
            every = -(-count // PROFILE_ITEMS_MAX) or 1
            first_day = date.fromisoformat(first).toordinal() if first else self._through
            self._profile = profile_of(self._known(every), first_day)
        return self._profile

    def _known(self, every: int) -> Iterator[tuple[str, int, Floats]]:
        for index, series in enumerate(db.read_series(self._store)):
            days = self._through - series.first_day + 1
            if index % every or days <= 0:
                continue
            units = np.zeros(days, np.float32)
            kept = series.demand[:days]
            units[: len(kept)] = np.maximum(kept, 0)
            yield self._categories.get(series.sku, ""), series.first_day, units

    def note(self, note: db.ItemNote, forecast: Forecast, row: int) -> db.ItemNote:
        """Of a young item there is nothing to take apart: it is what such items sell."""
        week = round(float(forecast.mean[row, :7].mean()), 3)
        return replace(note, model=self._name(note.sku), simple_rule=False, pieces={"level": week})

    def _name(self, sku: str) -> str:
        return f"new, like {self._like[sku]}" if sku in self.sisters else "new"

    def never_sold(self, through: date) -> tuple[tuple[str, ...], Forecast, list[db.ItemNote]] | None:
        """Items that were delivered, or that the owner compared with another one, and that nobody bought yet."""
        found: dict[str, float] = dict.fromkeys(self.sisters, 0.0)
        for series in db.read_series(self._store):
            if series.demand.any():
                found.pop(series.sku, None)
            elif float(series.change.sum()) > 0:
                found[series.sku] = float(max(0, self._through - series.first_day))
        if not found:
            return None
        skus, profile = tuple(sorted(found)), self.profile()
        priors = [
            (self.sisters[sku], SISTER_CV)
            if sku in self.sisters
            else profile.of(self._categories.get(sku, ""))
            for sku in skus
        ]
        rate, cv = np.array(priors, np.float64).T
        days = np.array([found[sku] for sku in skus])
        weekdays = (through.weekday() + 1 + np.arange(REACH_DAYS)) % 7
        forecast = forecast_of(Start(rate, cv, days, days, np.zeros(len(skus))), profile, weekdays, WINDOWS)
        notes = [db.ItemNote(sku, "new", through, None, None, False, {}) for sku in skus]
        return skus, forecast, [self.note(note, forecast, row) for row, note in enumerate(notes)]
