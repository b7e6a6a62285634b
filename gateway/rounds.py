"""Which deliveries may share a transaction: no state, no I/O."""

from collections.abc import Iterator

from drivers.bus import Delivery
from drivers.contract import AnyReading, Document, Scan


def rounds(
    deliveries: list[tuple[bytes, Delivery]],
) -> Iterator[list[tuple[bytes, Delivery]]]:
    """Group deliveries into transactions: together, but what must see the ledger as committed goes alone."""
    together: list[tuple[bytes, Delivery]] = []
    for peer, delivery in deliveries:
        begin = 0
        for at, reading in enumerate(delivery.readings):
            if not _goes_alone(reading):
                continue
            if at > begin:
                together.append((peer, _part(delivery, begin, at)))
            if together:
                yield together
                together = []
            yield [(peer, _part(delivery, at, at + 1))]
            begin = at + 1
        if begin == 0:
            together.append((peer, delivery))
        elif begin < len(delivery.readings):
            together.append((peer, _part(delivery, begin, len(delivery.readings))))
    if together:
        yield together


def _goes_alone(reading: AnyReading) -> bool:
    return isinstance(reading, Document) or (isinstance(reading, Scan) and reading.data == "SK/UNDO")


def _part(delivery: Delivery, begin: int, end: int) -> Delivery:
    return Delivery(
        delivery.device,
        delivery.boot,
        delivery.acked_through,
        delivery.first_seq + begin,
        delivery.ages_ms[begin:end],
        delivery.readings[begin:end],
    )
