"""What the weight of a shelf says about what stands on it: evidence for a count, never a booking.

One shelf, one item. A count comes with its standard error, the weight of a piece is learned from what was
booked, a step (somebody took or put something) is told from drift (warmth, creep, dust), and a step down that
nobody scanned is named. Times are seconds on one monotonic clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import NamedTuple

PIECE_CV = 0.03  # before anything is learned: pieces of one item differ by 3 % of their weight
PIECE_CV_WEIGHT = 5.0  # ... believed like five observations
LEARN_SIGMAS_MAX = 4.0  # a step further off than this was not what was booked
UNITS_OF_A_STEP_MAX = 10_000
FIT_UNITS = 0.25  # a step of k pieces is within a quarter of a piece of k
SETTLE_S = 5.0  # a weight counts as arrived when it stayed so long
SCAN_WITHIN_S = 600.0  # a customer takes first and pays later
REFERENCE_CELSIUS = 20.0
STEP_SIGMAS_MIN = 4.0


@dataclass(frozen=True, slots=True)
class UnitWeight:
    """What one piece weighs, and how well that is known. `error_grams` is inf before anything is known."""

    grams: float = 0.0
    error_grams: float = inf  # standard error of `grams`
    piece_sd_grams: float = 0.0  # from piece to piece
    observations: int = 0

    @property
    def is_known(self) -> bool:
        return self.grams > 0 and self.error_grams < self.grams


@dataclass(frozen=True, slots=True)
class Scale:
    """What the weighing itself adds to the uncertainty."""

    sd_grams: float = 1.0  # of one stable weight
    drift_grams_per_min: float = 2.0  # what an untouched shelf may do
    grams_per_celsius: float = 0.0  # of the load cell, when somebody measured it


class Count(NamedTuple):
    """How many pieces a weight is."""

    units: int
    estimate_units: float
    standard_error_units: float


class Sample(NamedTuple):
    """One weight of the shelf, with the temperature beside it when there is a thermometer."""

    at_s: float
    grams: float
    stable: bool
    celsius: float | None = None


class Step(NamedTuple):
    """The weight changed because somebody did something. Negative: something was taken."""

    at_s: float
    grams: float


class Booking(NamedTuple):
    """What the ledger says about this shelf. Negative: pieces left it."""

    at_s: float
    units: int


class Removal(NamedTuple):
    """Pieces that left the shelf and were not scanned within ten minutes."""

    at_s: float
    units: int
    grams: float
    reason: str


def count_units(grams: float, container_grams: float, unit: UnitWeight, scale: Scale) -> Count | None:
    """How many pieces lie there, with the standard error; None while the weight of a piece is unknown.

    The error has three parts: the scale's, the pieces' (they differ), and that of the known piece weight,
    which grows with the number of pieces.
    """
    if not unit.is_known:
        return None
    estimate = (grams - container_grams) / unit.grams
    pieces = max(0.0, estimate)
    variance_grams = scale.sd_grams**2 + pieces * unit.piece_sd_grams**2 + (pieces * unit.error_grams) ** 2
    return Count(max(0, round(estimate)), estimate, sqrt(variance_grams) / unit.grams)


def learn(unit: UnitWeight, step_grams: float, moved_units: int, scale: Scale) -> UnitWeight:
    """The weight of a piece after a step that a booking of `moved_units` explains.

    Sign and size are taken from the booking: a step in the other direction, or one that is out of proportion
    to what is known, teaches nothing. A piece's weight converges as the booked pieces add up.
    """
    if moved_units == 0 or step_grams * moved_units <= 0:
        return unit
    pieces = abs(moved_units)
    seen_grams = abs(step_grams) / pieces
    if unit.observations == 0 and unit.error_grams == inf:
        piece_sd = PIECE_CV * seen_grams
        return UnitWeight(seen_grams, sqrt(_seen_variance(piece_sd, pieces, scale)), piece_sd, 1)
    seen_variance = _seen_variance(unit.piece_sd_grams, pieces, scale)
    surprise = seen_grams - unit.grams
    expected_variance = unit.error_grams**2 + seen_variance
    if surprise**2 > LEARN_SIGMAS_MAX**2 * expected_variance:
        return unit
    gain = unit.error_grams**2 / expected_variance
    return UnitWeight(
        grams=unit.grams + gain * surprise,
        error_grams=sqrt((1 - gain) * unit.error_grams**2),
        piece_sd_grams=_piece_sd(unit, surprise, pieces, scale),
        observations=unit.observations + 1,
    )


def learned(steps: Sequence[Step], bookings: Sequence[Booking], scale: Scale) -> UnitWeight:
    """The weight of a piece from steps and bookings that stand alone, each the only one near the other."""
    unit = UnitWeight()
    for step in sorted(steps):
        near = [booking for booking in bookings if abs(booking.at_s - step.at_s) <= SCAN_WITHIN_S]
        if len(near) == 1 and sum(abs(near[0].at_s - other.at_s) <= SCAN_WITHIN_S for other in steps) == 1:
            unit = learn(unit, step.grams, near[0].units, scale)
    return unit


def units_of_step(step_grams: float, unit: UnitWeight) -> int | None:
    """How many pieces came (+) or went (-); 0 for less than half a piece, None when no number fits."""
    if not unit.is_known:
        return None
    units = round(step_grams / unit.grams)
    if abs(units) > UNITS_OF_A_STEP_MAX or abs(step_grams - units * unit.grams) >= FIT_UNITS * unit.grams:
        return None
    return units


class ShelfWatch:
    """Tells steps from drift. Knows the present level, and a new one that has not settled yet."""

    def __init__(self, scale: Scale, unit: UnitWeight = UnitWeight()) -> None:
        self._scale = scale
        noise_grams = STEP_SIGMAS_MIN * sqrt(2) * scale.sd_grams
        self._step_grams_min = max(noise_grams, FIT_UNITS * unit.grams if unit.is_known else 0.0)
        self._level: tuple[float, float] | None = None  # seconds, grams
        self._new: tuple[float, float] | None = None  # a level that is not SETTLE_S old

    def observe(self, sample: Sample) -> list[Step]:
        """One more weight. A step is returned once the new weight has stayed for five seconds."""
        steps = self.settled(sample.at_s)
        if not sample.stable:
            self._new = None
            return steps
        grams = self._compensated(sample)
        if self._level is None or (self._new is None and self._is_drift(self._level, sample.at_s, grams)):
            self._level = (sample.at_s, grams)
        elif self._new is None or abs(grams - self._new[1]) > self._step_grams_min:
            self._new = (sample.at_s, grams)
        return steps

    def settled(self, now_s: float) -> list[Step]:
        """The step that is certain by now: a scale that reports changes only is silent after one."""
        if self._new is None or self._level is None or now_s - self._new[0] < SETTLE_S:
            return []
        (at_s, grams), (_, before_grams) = self._new, self._level
        self._level, self._new = (at_s, grams), None
        if abs(grams - before_grams) <= self._step_grams_min:
            return []  # taken and put back
        return [Step(at_s, grams - before_grams)]

    def _is_drift(self, level: tuple[float, float], at_s: float, grams: float) -> bool:
        since_s, before_grams = level
        drift_grams = self._scale.drift_grams_per_min * (at_s - since_s) / 60
        return abs(grams - before_grams) <= min(
            max(self._step_grams_min, drift_grams), 2 * self._step_grams_min
        )

    def _compensated(self, sample: Sample) -> float:
        if sample.celsius is None:
            return sample.grams
        return sample.grams - self._scale.grams_per_celsius * (sample.celsius - REFERENCE_CELSIUS)


def steps_of(samples: Sequence[Sample], scale: Scale, unit: UnitWeight = UnitWeight()) -> list[Step]:
    """All steps of a series, the last one taken as settled."""
    watch = ShelfWatch(scale, unit)
    steps = [step for sample in samples for step in watch.observe(sample)]
    return steps + watch.settled(samples[-1].at_s + SETTLE_S if samples else 0.0)


def unscanned_removals(
    steps: Sequence[Step], bookings: Sequence[Booking], unit: UnitWeight, now_s: float
) -> list[Removal]:
    """Pieces that went without a booking, and were not put back, within ten minutes.

    A booking explains one removal only; the earliest bookings explain the earliest removals. A removal that
    is younger than ten minutes is not judged yet.
    """
    booked = [[booking.at_s, -booking.units] for booking in sorted(bookings) if booking.units < 0]
    delivered = [[booking.at_s, booking.units] for booking in sorted(bookings) if booking.units > 0]
    put_back = []
    for step in sorted(steps):
        units = units_of_step(step.grams, unit) or 0
        if units > 0:
            put_back.append([step.at_s, units - _taken(delivered, step.at_s, units, both_ways=True)])
    removals = []
    for step in sorted(steps):
        units = -(units_of_step(step.grams, unit) or 0)
        if units <= 0:
            continue
        units -= _taken(booked, step.at_s, units, both_ways=True)
        units -= _taken(put_back, step.at_s, units, both_ways=False)
        if units > 0 and now_s - step.at_s >= SCAN_WITHIN_S:
            removals.append(Removal(step.at_s, units, step.grams, _reason(step, units, unit)))
    return removals


def _taken(stock: list[list[float]], at_s: float, wanted: int, *, both_ways: bool) -> int:
    """Up to `wanted` units of `stock` [(at_s, units)], ten minutes after (or around) `at_s`."""
    taken = 0
    for entry in stock:
        offset_s = entry[0] - at_s
        if offset_s > SCAN_WITHIN_S or offset_s < (-SCAN_WITHIN_S if both_ways else 0):
            continue
        units = min(wanted - taken, int(entry[1]))
        entry[1] -= units
        taken += units
    return taken


def _reason(step: Step, units: int, unit: UnitWeight) -> str:
    pieces = "1 piece" if units == 1 else f"{units} pieces"
    return (
        f"the shelf became {-step.grams:.0f} g lighter, {pieces} of {unit.grams:.0f} g,"
        f" and nothing was scanned within {SCAN_WITHIN_S / 60:.0f} minutes"
    )


def _seen_variance(piece_sd_grams: float, pieces: int, scale: Scale) -> float:
    """Of a piece weight seen in one step: two weighings, and pieces that differ."""
    return (2 * scale.sd_grams**2 + pieces * piece_sd_grams**2) / pieces**2


def _piece_sd(unit: UnitWeight, surprise: float, pieces: int, scale: Scale) -> float:
    """A running estimate of how much pieces differ; what the scale explains is taken off."""
    weight = PIECE_CV_WEIGHT + unit.observations
    seen = pieces * (surprise**2 - unit.error_grams**2) - 2 * scale.sd_grams**2 / pieces
    return sqrt((weight * unit.piece_sd_grams**2 + max(0.0, seen)) / (weight + 1))
