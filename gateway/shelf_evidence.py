"""What scales under shelves say beside the ledger. Evidence to look at: nothing is booked from it.

A device with `sku` in its settings weighs one item. Its stable weights are read from telemetry.db, what was booked at
its location from the ledger; the weight of a piece is learned from bookings that stand alone.
"""

import sqlite3
from dataclasses import dataclass

from gateway.config import Device
from gateway.ledger import queries
from gateway.stock.shelf_weight import (
    Booking,
    Count,
    Removal,
    Sample,
    Scale,
    UnitWeight,
    count_units,
    learned,
    steps_of,
    unscanned_removals,
)

GRAMS = {"g": 1.0, "kg": 1_000.0, "lb": 453.59237, "oz": 28.349523125}
LOOK_BACK_US = 14 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class ShelfEvidence:
    """One shelf: by weight, by the ledger, and what left it unscanned."""

    device: str
    sku: str
    location: str
    by_ledger_units: int
    by_weight: Count | None  # None while the weight of a piece is not known, or nothing was weighed
    unit: UnitWeight
    removals: tuple[Removal, ...]  # `at_s` in seconds since 1970


def evidence(
    ledger: sqlite3.Connection, telemetry: sqlite3.Connection, device: Device, now_us: int
) -> ShelfEvidence:
    """The last two weeks of the shelf under `device`, as of `now_us`."""
    since_us = now_us - LOOK_BACK_US
    samples = [
        Sample(wall_us / 1e6, value * GRAMS[unit], True)
        for wall_us, value, unit in queries.weights(telemetry, device.name, since_us)
        if unit in GRAMS
    ]
    moved = queries.moved_at(ledger, device.sku, device.location, since_us)
    bookings = [Booking(wall_us / 1e6, units) for wall_us, units in moved]
    scale = Scale()
    unit = learned(steps_of(samples, scale), bookings, scale)
    steps = steps_of(samples, scale, unit)
    count = count_units(samples[-1].grams, device.container_grams, unit, scale) if samples else None
    return ShelfEvidence(
        device.name,
        device.sku,
        device.location,
        queries.units_at(ledger, device.sku, device.location),
        count,
        unit,
        tuple(unscanned_removals(steps, bookings, unit, now_us / 1e6)),
    )
