"""Pure: from a stream of tag reads to who is there: arrived, moved, departed. Staying is silent.

A reader sees a tag dozens of times a second, misses it for seconds, and sees it through the wall of the next
zone. So a tag has arrived after some reads within a window, has moved when another antenna hears it clearly
better, and has departed after a silence during which *the reader was known to work*.

That last clause is the point: time passes here only between two signs of life of the reader (a read, a
keep-alive, a "no tag" answer). While it is unplugged, restarting, hot or mute no tag departs, or one pulled
network cable would become "everything sold".
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Le

from drivers.contract import AnyReading, Asks, Decoder, Health, Presence, TagRead

TAGS_MAX = 10_000  # present, and as many seen too seldom to have arrived
ANTENNAS_MAX = 32
LIFE = frozenset({"keepalive", "no_tag", "connected"})  # Health of a reader that works, and that does not:
PAUSES = frozenset({"keepalive_lost", "silent", "hot", "closed", "reader_error"})
SIGN_OF_LIFE_WITHIN_S = 35.0  # a longer gap is no time: the reader was not there
RSSI_MEMORY = 0.3  # weight of a new read in an antenna's mean


@dataclass(frozen=True, slots=True)
class ZonesConfig:
    """Settings that every RFID reader shares."""

    presence: bool = False  # say who arrives, moves and departs, instead of every single read
    arrive_reads: Annotated[int, Ge(1), Le(100)] = 2
    arrive_window_s: Annotated[float, Ge(0.1), Le(60)] = 3.0
    depart_after_s: Annotated[float, Ge(1), Le(3_600)] = 10.0  # longer when many tags share the field
    move_db: Annotated[int, Ge(1), Le(40)] = 6


@dataclass(slots=True)
class _Heard:
    """What one antenna knows of one tag."""

    last_s: float  # by the clock of `Zones`
    mean_dbm: float | None
    reads: int = 0


@dataclass(slots=True)
class _Tag:
    """A tag that is there: in the zone of one antenna, heard by several."""

    antenna: int | None
    heard: dict[int | None, _Heard] = field(default_factory=dict)

    @property
    def last_s(self) -> float:
        return max(heard.last_s for heard in self.heard.values())


class Zones:
    """All tags of one reader; a zone is an antenna. One per device, so that it survives reconnects."""

    def __init__(self) -> None:
        self._present: OrderedDict[str, _Tag] = OrderedDict()  # least recently read first
        self._arriving: OrderedDict[str, list[float]] = OrderedDict()
        self._clock_s = 0.0  # time during which the reader was known to work
        self._alive_s: float | None = None  # the host's time of the last sign of life
        self._is_full = False

    def pause(self) -> None:
        """The reader restarts, is gone or hot: nobody departs, and everyone gets the whole time again."""
        self._alive_s = None
        for tag in self._present.values():
            for heard in tag.heard.values():
                heard.last_s = self._clock_s

    def alive(self, now_s: float, config: ZonesConfig) -> list[Presence]:
        """A sign of life: the time since the last one has really passed. Returns who departed in it."""
        if self._alive_s is not None and 0 < now_s - self._alive_s <= SIGN_OF_LIFE_WITHIN_S:
            self._clock_s += now_s - self._alive_s
        elif self._alive_s is not None and now_s != self._alive_s:
            self.pause()
        self._alive_s = now_s
        departed = []
        while self._present:
            epc, tag = next(iter(self._present.items()))
            if self._clock_s - tag.last_s < config.depart_after_s:
                break
            del self._present[epc]
            departed.append(Presence(epc, "departed", tag.antenna))
        return departed

    def read(self, tag: TagRead, now_s: float, config: ZonesConfig) -> list[AnyReading]:
        """One read of one tag; itself a sign of life."""
        self._hear(tag)
        readings: list[AnyReading] = [*self.alive(now_s, config)]
        if (present := self._present.get(tag.epc)) is None:
            return readings + self._arrival(tag, config)
        return readings + self._move(present, tag, config)

    def _hear(self, tag: TagRead) -> None:
        """Before time is counted: a tag that is read at this very moment does not depart in it."""
        present = self._present.get(tag.epc)
        if present is None:
            return
        self._present.move_to_end(tag.epc)
        heard = present.heard.setdefault(tag.antenna, _Heard(self._clock_s, None))
        if len(present.heard) > ANTENNAS_MAX:
            del present.heard[tag.antenna]
            return
        heard.last_s = self._clock_s
        heard.reads += 1
        if tag.rssi_dbm is not None:
            mean = heard.mean_dbm
            heard.mean_dbm = tag.rssi_dbm if mean is None else mean + RSSI_MEMORY * (tag.rssi_dbm - mean)

    def _arrival(self, tag: TagRead, config: ZonesConfig) -> list[AnyReading]:
        reads = self._arriving.pop(tag.epc, [])
        reads = [at_s for at_s in reads if self._clock_s - at_s <= config.arrive_window_s]
        reads.append(self._clock_s)
        if len(reads) < config.arrive_reads:
            self._arriving[tag.epc] = reads
            if len(self._arriving) > TAGS_MAX:
                self._arriving.popitem(last=False)
            return []
        if len(self._present) >= TAGS_MAX:
            return self._full()
        self._present[tag.epc] = _Tag(tag.antenna)
        self._hear(tag)
        return [Presence(tag.epc, "arrived", tag.antenna, tag.rssi_dbm)]

    def _full(self) -> list[AnyReading]:
        if self._is_full:
            return []
        self._is_full = True
        error = f"more than {TAGS_MAX} tags in the field: lower the power or use more readers"
        return [Health(status="too_many_tags", error=error)]

    def _move(self, present: _Tag, tag: TagRead, config: ZonesConfig) -> list[AnyReading]:
        if tag.antenna == present.antenna or tag.antenna not in present.heard:
            return []
        here, there = present.heard[present.antenna], present.heard[tag.antenna]
        here_is_silent = self._clock_s - here.last_s >= config.depart_after_s
        if there.reads < config.arrive_reads:
            return []
        if not here_is_silent and not _is_better(there, here, config.move_db):
            return []
        present.antenna = tag.antenna
        return [Presence(tag.epc, "moved", tag.antenna, tag.rssi_dbm)]


class PresenceDecoder:
    """A reader's decoder whose tag reads are told as arrivals, moves and departures."""

    def __init__(self, reader: Decoder, zones: Zones, config: ZonesConfig) -> None:
        self._reader = reader
        self._zones = zones
        self._config = config
        self._ask: Callable[[float], bytes] | None = (
            reader.pending_bytes if isinstance(reader, Asks) else None
        )
        zones.pause()

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        return self._told(self._reader.feed(chunk, now_s), now_s)

    def idle(self, now_s: float) -> list[AnyReading]:
        """No time passes for the tags here: silence of the line is not a sign of life."""
        return self._told(self._reader.idle(now_s), now_s)

    def pending_bytes(self, now_s: float) -> bytes:
        return self._ask(now_s) if self._ask else b""

    def _told(self, readings: list[AnyReading], now_s: float) -> list[AnyReading]:
        told: list[AnyReading] = []
        for reading in readings:
            if isinstance(reading, TagRead):
                told += self._zones.read(reading, now_s, self._config)
                continue
            if isinstance(reading, Health):
                if reading.status in LIFE:
                    told += self._zones.alive(now_s, self._config)
                elif reading.status in PAUSES:
                    self._zones.pause()
            told.append(reading)
        return told


def watched(reader: Decoder, zones: Zones, config: ZonesConfig) -> Decoder:
    """The decoder as it is, or with `presence = true` the one that tells who comes and goes."""
    return PresenceDecoder(reader, zones, config) if config.presence else reader


def _is_better(there: _Heard, here: _Heard, move_db: int) -> bool:
    if there.mean_dbm is None or here.mean_dbm is None:
        return False
    return there.mean_dbm - here.mean_dbm >= move_db
