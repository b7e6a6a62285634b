"""Words about devices and notices: what a page's tap comes to in the core."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.bus import Command, Status
from drivers.contract import Document
from gateway.config import Device
from gateway.ledger import queries
from tests.ledger.counter import Counter, delivery, outcomes


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    counter = Counter(tmp_path)
    counter.tell(Status("counter", "running", "", {}))
    yield counter
    counter.close()


def setting(counter: Counter, key: str) -> str | None:
    row = counter.writer.connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def told(counter: Counter, **body: object) -> list[Command]:
    """What the driver hears when a page says this."""
    answers = counter.tell(delivery("web", "w2", 1, Document("device", "d1", dict(body))))
    return [one for one in answers if isinstance(one, Command)]


def raised(counter: Counter, *states: str) -> list[tuple[str, str, str]]:
    found = queries.alerts(counter.writer.connection, states or ("open",))
    return [(alert.kind, alert.subject, alert.text) for alert in found]


def notice(counter: Counter, **more: object) -> None:
    body = {
        "kind": "device_blocked",
        "subject": "counter",
        "severity": "critical",
        "text": "blocked",
        "data": {},
    }
    document = Document("notice", os.urandom(4).hex(), {**body, **more})
    (outcome,) = outcomes(counter.tell(delivery("watch", os.urandom(4).hex(), 1, document)))
    assert outcome.code == "ok"


def test_a_person_makes_a_device_sound(counter: Counter) -> None:
    (word,) = told(counter, name="counter", do="identify")

    assert word.name == "identify"


def test_a_device_that_does_not_run_cannot_sound_and_that_is_said(counter: Counter) -> None:
    assert counter.say("device", name="door", do="identify").text == "door is not running"


def test_a_word_that_no_driver_knows_reaches_none(counter: Counter) -> None:
    assert told(counter, name="counter", do="format") == []


def test_what_the_owner_confirms_is_kept_told_to_the_driver_and_ends_the_alert(counter: Counter) -> None:
    notice(counter)

    (word,) = told(counter, name="counter", do="confirm", hardware="0c2e:0b61")

    assert word.name == "confirm"
    assert setting(counter, "hardware/counter") == "0c2e:0b61"
    assert raised(counter) == []


def test_a_blocked_device_is_freed_without_being_confirmed(counter: Counter) -> None:
    notice(counter)

    (word,) = told(counter, name="counter", do="free")

    assert word.name == "free"
    assert (setting(counter, "hardware/counter"), raised(counter)) == (None, [])


def test_a_notice_that_is_over_is_closed(counter: Counter) -> None:
    notice(counter)
    notice(counter, text="blocked again")
    assert raised(counter) == [("device_blocked", "counter", "blocked again")]

    notice(counter, over=True)

    assert raised(counter) == []
    assert raised(counter, "closed") == [("device_blocked", "counter", "blocked again")]


def test_what_is_ignored_stays_ignored_until_somebody_wants_it_again(counter: Counter) -> None:
    counter.say("hardware", identity="keyboard@1.2", **{"is": "ignored"})
    ignored = setting(counter, "ignored/keyboard@1.2")
    counter.say("hardware", identity="keyboard@1.2", **{"is": ""})

    assert (ignored, setting(counter, "ignored/keyboard@1.2")) == ("yes", None)


def test_a_scanner_with_another_home_begins_there_and_its_neighbours_stay(tmp_path: Path) -> None:
    left, right = (Device(name, "serial_scanner", "look", "shop") for name in ("left", "right"))
    counter = Counter(tmp_path, left, right)
    (sku,) = counter.add_items(1)
    counter.scan("SK/SELL", device="right")
    counter.scan("SK/RECEIVE", device="left")

    counter.ingest.settle((Device("left", "serial_scanner", "sell", "shop"), right))
    booked = [counter.scan(sku, device=name, first_seq=2)[0].code for name in ("left", "right")]
    modes = {one.device: one.mode for one in queries.stations(counter.writer.connection)}
    counter.close()

    assert booked == ["negative", "negative"]
    assert modes == {"left": "sell", "right": "sell"}


def test_a_block_is_kept_when_it_is_news_and_forgotten_when_a_person_frees_the_device(
    counter: Counter,
) -> None:
    blocked = Status("counter", "blocked", "it typed what no scanner types", {}, "0c2e:0b61#18")

    counter.tell(blocked)
    kept = setting(counter, "blocked/counter")
    counter.say("device", name="counter", do="free")
    counter.tell(blocked)  # a heartbeat that was under way meanwhile
    after = setting(counter, "blocked/counter")

    assert (kept, after) == ("0c2e:0b61#18", None)
