"""Pure: what a load cell's converter says, made into weights that can be trusted.

Saturated conversions are dropped, a median of five removes the one-sample spikes of a disturbed converter, a
weight is stable when it stayed within two divisions for a second, and an empty scale's creep is followed.
Time is counted in samples, since a converter ticks evenly: the same samples give the same readings.

There is no tare here, least of all at start: whatever lies on the shelf would become nothing. The zero is a
setting.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from statistics import median

from drivers.contract import AnyReading, ConfigError, Health, Weight

MEDIAN_SAMPLES = 5
SATURATED_COUNTS = (0x7FFFFF, -0x800000)  # the ends of 24 bits: overload, or an open wire
STABLE_DIVISIONS = 2.0  # spread over one second
ZERO_BAND_DIVISIONS = 2.0  # so near to zero the scale counts as empty
ZERO_DIVISIONS_PER_S = 0.5  # faster than this it is a step: somebody put or took something
ZERO_DIVISIONS_MAX = 50.0  # all tracking together; beyond it a person must look
SPIKE_DIVISIONS = 5.0
SPIKES_BEFORE_DOUBT = 10  # within SPIKE_WINDOW_S
SPIKE_WINDOW_S = 60
WARM_UP_S = 600
HEARTBEAT_S = 60  # an unchanged weight is said again, so that silence means a fault


@dataclass(frozen=True, slots=True)
class LoadCell:
    """One cell and its amplifier, as calibrated by a person."""

    zero_counts: float = 0.0  # what the empty shelf says
    counts_per_gram: float = 0.0  # negative when the cell is mounted upside down; 0: not calibrated yet
    division_grams: Decimal = Decimal(1)
    samples_per_s: float = 10.0


def load_cell(
    zero_counts: float, counts_per_gram: float, division_grams: str, samples_per_s: float
) -> LoadCell:
    """A cell from a driver's settings. Raises ConfigError."""
    try:
        division = Decimal(division_grams)
    except ArithmeticError:
        division = Decimal(0)
    if not (division.is_finite() and division > 0):
        raise ConfigError(
            f'division_grams is "{division_grams}"; write the step in grams, such as "1" or "0.5"'
        )
    for name, value in (("zero_counts", zero_counts), ("counts_per_gram", counts_per_gram)):
        if not isfinite(value):
            raise ConfigError(f"{name} is {value}; write what the calibration said, or 0")
    return LoadCell(zero_counts, counts_per_gram, division, samples_per_s)


def signed24(raw: bytes) -> int:
    """Three bytes, most significant first, two's complement."""
    return int.from_bytes(raw, "big", signed=True)


def is_saturated(counts: float) -> bool:
    return counts in SATURATED_COUNTS


def smoothed(values: Sequence[float]) -> list[float]:
    """Each value's median of five: itself and two on either side, fewer at the ends."""
    half = MEDIAN_SAMPLES // 2
    return [median(values[max(0, at - half) : at + half + 1]) for at in range(len(values))]


def spikes_at(values: Sequence[float], limit: float) -> list[int]:
    """Where a value is further than `limit` from its median of five. A step is not a spike: it stays."""
    return [at for at, middle in enumerate(smoothed(values)) if abs(values[at] - middle) > limit]


class LoadCellFilter:
    """One cell's pipeline. Its memory is one second of samples."""

    def __init__(self, cell: LoadCell) -> None:
        self._cell = cell
        self._per_s = max(1, round(cell.samples_per_s))
        self._last_five: deque[float] = deque(maxlen=MEDIAN_SAMPLES)
        self._last_second: deque[float] = deque(maxlen=max(2, self._per_s))  # medians, counts
        self._samples = 0
        self._zero_counts = cell.zero_counts
        self._reported: Weight | None = None
        self._reported_at, self._reported_counts = 0, 0.0  # sample number, and its median
        self._stepped, self._drift_said = True, False  # a start is a step: what lies there was put there
        self._spike_count, self._spikes_since, self._spikes_said = 0, 0, False

    @property
    def zero_counts(self) -> float:
        """Where zero is now: the calibrated one and the creep that was followed."""
        return self._zero_counts

    def sample(self, counts: float) -> list[AnyReading]:
        """One conversion."""
        self._samples += 1
        if is_saturated(counts):
            self._last_five.clear()
            self._last_second.clear()
            return self._report(Weight(status="saturated", stable=False, raw_hex=_hex(counts)), counts)
        self._last_five.append(counts)
        if len(self._last_five) < MEDIAN_SAMPLES:
            return []
        middle = median(self._last_five)
        self._last_second.append(middle)
        readings = self._spike(self._last_five[MEDIAN_SAMPLES // 2], middle)
        if not self._cell.counts_per_gram:
            return [*readings, *self._report(Weight(status="not_calibrated", raw_hex=_hex(middle)), middle)]
        stable = self._is_stable()
        if stable:
            readings += self._track_zero()
        else:
            self._stepped = True
        return [*readings, *self._report(self._weight(middle, stable), middle)]

    def gap(self) -> None:
        """The samples stopped for a while: what comes next is not one series with what was."""
        self._last_five.clear()
        self._last_second.clear()

    def _weight(self, counts: float, stable: bool) -> Weight:
        grams = (counts - self._zero_counts) / self._cell.counts_per_gram
        division = self._cell.division_grams
        return Weight(
            value=round(Decimal(grams) / division) * division + Decimal(0),  # + 0: never "-0"
            unit="g",
            stable=stable,
            status=None if stable else "motion",
            quality="warming_up" if self._samples < WARM_UP_S * self._per_s else None,
            raw_hex=_hex(counts),
        )

    def _report(self, weight: Weight, counts: float) -> list[AnyReading]:
        """A new state, a change of a division or more, a minute's silence; values at most once a second."""
        last, since = self._reported, self._samples - self._reported_at
        if last is not None and since < self._per_s and weight.stable is last.stable:
            return []
        if last is not None and weight.status == "motion" and since < self._per_s:
            return []
        if last is not None and (weight.status, weight.stable) == (last.status, last.stable):
            moved = self._divisions(counts - self._reported_counts) if weight.value is not None else 0.0
            if moved < 1 and since < HEARTBEAT_S * self._per_s:
                return []
        self._reported, self._reported_at, self._reported_counts = weight, self._samples, counts
        return [weight]

    def _is_stable(self) -> bool:
        if len(self._last_second) < self._last_second.maxlen:  # type: ignore[operator]  # it has a maxlen
            return False
        return self._divisions(max(self._last_second) - min(self._last_second)) <= STABLE_DIVISIONS

    def _track_zero(self) -> list[AnyReading]:
        """Follow an empty scale's creep, never a step, and never further than a person would believe."""
        now = self._last_second[-1]
        off = now - self._zero_counts
        if self._divisions(max(self._last_second) - min(self._last_second)) > ZERO_DIVISIONS_PER_S:
            self._stepped = True  # until it is back at zero by itself: a light thing put down stays weighed
        elif self._divisions(off) <= ZERO_DIVISIONS_PER_S:
            self._stepped = False
        if not off or self._stepped or self._divisions(off) > ZERO_BAND_DIVISIONS:
            return []
        step = self._counts(ZERO_DIVISIONS_PER_S) / self._per_s
        moved = self._zero_counts + max(-step, min(step, off))
        if self._divisions(moved - self._cell.zero_counts) <= ZERO_DIVISIONS_MAX:
            self._zero_counts = moved
            return []
        if self._drift_said:
            return []
        self._drift_said = True
        error = (
            f"the empty scale crept by {ZERO_DIVISIONS_MAX:g} divisions: clear it and set zero_counts anew"
        )
        return [Health(status="zero_drifted", error=error)]

    def _spike(self, value: float, middle: float) -> list[AnyReading]:
        """Many spikes are a fault of the wiring or of the converter's clock, worth a person's look."""
        if self._samples - self._spikes_since > SPIKE_WINDOW_S * self._per_s:
            self._spike_count, self._spikes_since = 0, self._samples
        if not self._cell.counts_per_gram or self._divisions(value - middle) <= SPIKE_DIVISIONS:
            return []
        self._spike_count += 1
        if self._spike_count != SPIKES_BEFORE_DOUBT or self._spikes_said:
            return []
        self._spikes_said = True
        error = "one-sample spikes: shorten and shield the wires, or read the cell through a NAU7802"
        return [Health(status="spikes", error=error)]

    def _divisions(self, counts: float) -> float:
        return abs(counts / self._cell.counts_per_gram) / float(self._cell.division_grams)

    def _counts(self, divisions: float) -> float:
        return abs(divisions * float(self._cell.division_grams) * self._cell.counts_per_gram)


def _hex(counts: float) -> str:
    return (round(counts) & 0xFFFFFF).to_bytes(3, "big").hex()
