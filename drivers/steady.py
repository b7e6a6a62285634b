"""Pure: drops values that did not change; keeps one a minute as a heartbeat.

A thermometer that says 4.1 every ten seconds tells the shop nothing new 8,640 times a day. What changed, what
is about a scan or a tag, and what could not be read always passes.
"""

from msgspec.structs import replace

from drivers.contract import AnyReading, Health, Humidity, Temperature, Weight

HEARTBEAT_S = 60.0
SOURCES_MAX = 256  # probes behind one driver; beyond it the oldest is forgotten, and its next value passes
WATCHED = (Weight, Temperature, Humidity, Health)


class Steady:
    """One per device."""

    def __init__(self) -> None:
        self._last: dict[tuple[type, str], tuple[AnyReading, float]] = {}  # when each source last passed

    def passes(self, reading: AnyReading, now_s: float) -> bool:
        """Whether this reading is news; `now_s` is monotonic."""
        if not isinstance(reading, WATCHED):
            return True
        source = (type(reading), _source(reading))
        value = replace(reading, raw_hex=None) if not isinstance(reading, Humidity) else reading
        last = self._last.pop(source, None)
        if last is not None and last[0] == value and now_s - last[1] < HEARTBEAT_S:
            self._last[source] = last
            return False
        if len(self._last) >= SOURCES_MAX:
            del self._last[next(iter(self._last))]
        self._last[source] = (value, now_s)
        return True


def _source(reading: Weight | Temperature | Humidity | Health) -> str:
    if isinstance(reading, Temperature | Humidity):
        return reading.sensor or ""
    return reading.status if isinstance(reading, Health) else ""
