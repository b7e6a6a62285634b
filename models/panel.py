"""What the forecaster sees of a shop: one row per item and place, one column per local calendar day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32; numpy's stubs widen every mixed operation, so the width is a convention
Flags = NDArray[Any]  # bool


@dataclass(frozen=True, slots=True)
class Panel:
    """`units` reaches the last day known; every calendar row reaches as far ahead as somebody has planned.

    Calendar rows have shape (items, days ahead and past) or (1, days) where the whole shop shares them.
    """

    keys: tuple[str, ...]
    first_day: date
    units: Floats  # (items, days): demand; NaN before the launch and on days nobody recorded
    censored: (
        Flags  # (items, days): the shelf was empty for a part of the day, so demand was at least `units`
    )
    groups: NDArray[np.int32]  # (items,): category, for shared trends
    closed: Flags
    holiday: Flags
    school_holiday: Flags
    promotion: Floats  # 0..1: share of the shop (or of the day) under promotion
    display: Floats  # 0..1: a second kind of promotion: placement, not price
    price: Floats | None = None  # (items, days): observed only, carried forward

    @property
    def days(self) -> int:
        return int(self.units.shape[1])

    @property
    def last_day(self) -> date:
        return self.first_day + timedelta(days=self.days - 1)

    def day(self, index: int) -> date:
        return self.first_day + timedelta(days=index)

    def seen_at(self, last_index: int, history_days: int | None = None) -> Panel:
        """The same shop as it was known at the close of day `last_index`; plans for later days stay."""
        first = 0 if history_days is None else max(0, last_index + 1 - history_days)
        past = slice(first, last_index + 1)
        return replace(
            self,
            first_day=self.day(first),
            units=self.units[:, past],
            censored=self.censored[:, past],
            price=None if self.price is None else self.price[:, past],
            closed=self.closed[:, first:],
            holiday=self.holiday[:, first:],
            school_holiday=self.school_holiday[:, first:],
            promotion=self.promotion[:, first:],
            display=self.display[:, first:],
        )

    def planned_until(self, days: int) -> Panel:
        """Calendar rows cut or padded to `days` columns: what nobody planned is an ordinary open day."""
        return replace(
            self,
            closed=_reach(self.closed, days),
            holiday=_reach(self.holiday, days),
            school_holiday=_reach(self.school_holiday, days),
            promotion=_reach(self.promotion, days),
            display=_reach(self.display, days),
        )

    def take(self, rows: NDArray[np.int64] | slice) -> Panel:
        """Some of the items, so that memory stays flat however large the shop is."""
        keys = self.keys[rows] if isinstance(rows, slice) else tuple(self.keys[int(row)] for row in rows)

        def cut(array: NDArray[Any]) -> NDArray[Any]:
            return array if len(array) == 1 else array[rows]

        return replace(
            self,
            keys=keys,
            units=self.units[rows],
            censored=self.censored[rows],
            groups=self.groups[rows],
            closed=cut(self.closed),
            holiday=cut(self.holiday),
            school_holiday=cut(self.school_holiday),
            promotion=cut(self.promotion),
            display=cut(self.display),
            price=None if self.price is None else self.price[rows],
        )


def _reach(row: NDArray[Any], days: int) -> NDArray[Any]:
    if row.shape[1] >= days:
        return row[:, :days]
    return np.pad(row, ((0, 0), (0, days - row.shape[1])))
