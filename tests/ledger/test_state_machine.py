"""The ledger against a dictionary: whatever a shop does and whatever breaks, both tell the same story.

The real Ingest, Writer and files; a crash is a copy of the files as the dead process left them, its log cut
at any byte of what it was writing.
"""

import contextlib
import resource
import shutil
import tempfile
from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from drivers.bus import Delivery
from drivers.contract import Outcome, Scan
from gateway.config import Device
from gateway.ledger.audit import audit
from tests.ledger.counter import Counter, as_after_a_kill, delivery, outcomes
from tests.system.shop import ean13

STEPS_AT_LEAST = 2_000
EXAMPLES, STEPS_PER_EXAMPLE = 65, 50
DEVICES = {"counter": ("sell", -1), "stockroom": ("receive", 1)}
CODES = [ean13(number) for number in (1, 2, 3)]
BOOKED = ("ok", "low", "negative")

steps: Tally[str] = Tally()


@dataclass
class Driver:
    """What one driver knows: how far it has counted, what is not yet acknowledged to its satisfaction."""

    boot_number: int = 1
    next_seq: int = 1
    settled: int = 0
    kept: list[tuple[Delivery, list[Outcome]]] = field(default_factory=list)  # answered, may be sent again

    @property
    def boot(self) -> str:
        return f"b{self.boot_number}"


class LedgerAgainstDictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        base = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.base = Path(tempfile.mkdtemp(prefix="ledger-", dir=base))
        self.generation = 0
        self.core = self.opened(self.base / "0")
        self.core.add_items(3)
        self.drivers = {name: Driver() for name in DEVICES}
        self.on_hand: Tally[str] = Tally()
        self.bookings: list[tuple[str, str, int]] = []  # (device, sku, change) that nobody took back
        self.movements = 0
        self.head = b""

    def opened(self, folder: Path) -> Counter:
        return Counter(
            folder,
            *(
                Device(name, "serial_scanner", mode, "shop", bounce_ms=0)
                for name, (mode, _) in DEVICES.items()
            ),
        )

    def teardown(self) -> None:
        self.core.close()
        shutil.rmtree(self.base)

    # What a shop does.

    @rule(
        device=st.sampled_from(sorted(DEVICES)),
        items=st.lists(st.integers(0, 2), min_size=1, max_size=4),
        quantity=st.sampled_from([0, 2, 7]),
    )
    def book(self, device: str, items: list[int], quantity: int) -> None:
        steps["book"] += 1
        sent = self.scans(device, items, quantity)

        answers = self.send(device, sent)

        assert all(one.code in (*BOOKED, "mode") for one in answers)
        self.remember(device, items, quantity)

    @rule(device=st.sampled_from(sorted(DEVICES)))
    def take_back(self, device: str) -> None:
        steps["take back"] += 1
        (answer,) = self.send(device, self.delivery(device, Scan("SK/UNDO")))

        mine = [at for at, (by, _, _) in enumerate(self.bookings) if by == device]
        assert answer.code == ("undo" if mine else "refused")
        if mine:
            _, sku, change = self.bookings.pop(mine[-1])
            self.on_hand[sku] -= change
            self.movements += 1

    @rule(items=st.lists(st.integers(0, 2), min_size=2, max_size=6))
    def both_scanners_at_once(self, items: list[int]) -> None:
        """Two messages in one transaction."""
        steps["both at once"] += 1
        sent = [self.scans(device, items, 0) for device in DEVICES]

        answers = self.core.tell(*sent)

        for one, said in zip(sent, answers, strict=True):
            self.answered(one, said.outcomes)
            self.remember(one.device, items, 0)

    # What goes wrong on the way.

    @precondition(lambda self: any(driver.kept for driver in self.drivers.values()))
    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        """The acknowledgement was lost: the driver says it again, and hears the same answer."""
        steps["resend"] += 1
        sent, answers = data.draw(st.sampled_from(self.kept()))

        assert outcomes(self.core.tell(sent)) == answers

    @rule(device=st.sampled_from(sorted(DEVICES)), items=st.lists(st.integers(0, 2), min_size=1, max_size=3))
    def resend_in_the_same_breath(self, device: str, items: list[int]) -> None:
        """The flush before took so long that reading and resend are both waiting."""
        steps["resend at once"] += 1
        sent = self.scans(device, items, 0)

        first, again = self.core.tell(sent, sent)

        assert first == again
        self.answered(sent, first.outcomes)
        self.remember(device, items, 0)

    @precondition(lambda self: any(driver.kept for driver in self.drivers.values()))
    @rule(data=st.data())
    def resend_with_other_content(self, data: st.DataObject) -> None:
        """A driver that counts wrong: an old number on another code books nothing."""
        steps["other content"] += 1
        sent, _ = data.draw(st.sampled_from(self.kept()))
        other = delivery(
            sent.device, sent.boot, sent.first_seq, *(Scan("4006381333931") for _ in sent.readings)
        )

        said = outcomes(self.core.tell(other))

        assert {one.code for one in said} == {"refused"}

    @rule(device=st.sampled_from(sorted(DEVICES)))
    def confirm(self, device: str) -> None:
        """The driver has voiced all that it was told: the answers need not be kept any longer."""
        driver = self.drivers[device]
        driver.settled = driver.next_seq - 1
        driver.kept.clear()

    @rule(device=st.sampled_from(sorted(DEVICES)))
    def driver_restarts(self, device: str) -> None:
        """A new run counts from one again."""
        steps["driver restarts"] += 1
        self.drivers[device] = Driver(self.drivers[device].boot_number + 1)

    @rule(device=st.sampled_from(sorted(DEVICES)), room_bytes=st.integers(0, 80_000))
    def disk_fails(self, device: str, room_bytes: int) -> None:
        """The log cannot grow by more than so much: the answer is true, whichever it is."""
        steps["disk fails"] += 1
        sent = self.scans(device, [0, 1], 0)

        with file_size_limit(self.log_bytes() + room_bytes):
            answers = outcomes(self.core.tell(sent))

        codes = {one.code for one in answers}
        assert codes <= set(BOOKED) or codes == {"not_recording"}
        if "not_recording" in codes:
            self.drivers[device].next_seq += len(sent.readings)
            steps["disk failed"] += 1
        else:
            self.answered(sent, answers)
            self.remember(device, [0, 1], 0)

    @rule()
    def clean_restart(self) -> None:
        steps["clean restart"] += 1
        self.core.close()
        self.core = self.opened(self.core.folder)

    @rule()
    def crash(self) -> None:
        """SIGKILL between two readings: nothing is closed."""
        steps["crash"] += 1
        self.move_to(as_after_a_kill(self.core.folder, self.next_folder()))

    @rule(device=st.sampled_from(sorted(DEVICES)), part=st.floats(0, 1) | st.just(1.0))
    def power_fails_while_it_writes(self, device: str, part: float) -> None:
        """The log keeps its new bytes up to some place and the old ones after it: all of it, or nothing."""
        steps["torn write"] += 1
        sent = self.scans(device, [2, 2], 0)
        log_before, book_before = self.log_bytes_now(), (self.core.folder / "ledger.db").read_bytes()
        answers = outcomes(self.core.tell(sent))
        after = as_after_a_kill(self.core.folder, self.next_folder())
        if (after / "ledger.db").read_bytes() == book_before:  # else a checkpoint moved the log into the book
            log_after = (after / "ledger.db-wal").read_bytes()
            cut = changed_through(log_before, log_after, part)
            (after / "ledger.db-wal").write_bytes(log_after[:cut] + log_before[cut:])

        self.move_to(after)

        there = self.core.writer.last_seq - self.movements
        assert there in (0, 2)
        steps["torn, and gone" if there == 0 else "torn, and whole"] += 1
        if there:
            self.answered(sent, answers)
            self.remember(device, [2, 2], 0)
        else:
            assert set(outcomes(self.core.tell(sent))) == set(answers)  # nobody was told: it is sent again
            self.answered(sent, answers)
            self.remember(device, [2, 2], 0)

    # What must hold, always.

    @invariant()
    def the_ledger_keeps_its_promises(self) -> None:
        found = audit(self.core.writer.connection)

        assert found.findings == ()
        assert found.movements == found.last_seq == self.movements

    @invariant()
    def both_tell_the_same_stock(self) -> None:
        stock = dict(self.core.rows("SELECT sku, sum(qty) FROM balance WHERE loc = 'shop' GROUP BY sku"))

        assert {sku: stock.get(sku, 0) for sku in ("S1", "S2", "S3")} == {
            sku: self.on_hand[sku] for sku in ("S1", "S2", "S3")
        }

    @invariant()
    def a_shelf_below_zero_is_one_open_notice(self) -> None:
        notices = self.core.rows("SELECT subject FROM alert WHERE kind = 'negative_stock' AND state = 'open'")

        assert sorted(notices) == sorted((f"{sku}@shop",) for sku, units in self.on_hand.items() if units < 0)

    @invariant()
    def what_was_written_stays_written(self) -> None:
        """What was the newest movement is still what it was."""
        if self.head:
            ((still,),) = self.core.rows("SELECT count(*) FROM movement WHERE hash = ?", self.head)
            assert still == 1
        self.head = self.core.writer.last_hash if self.movements else b""

    # How it is done.

    def scans(self, device: str, items: list[int], quantity: int) -> Delivery:
        codes = [CODES[item] for item in items]
        if quantity:
            codes.insert(0, f"SK/QTY/{quantity}")
        return self.delivery(device, *(Scan(code) for code in codes))

    def delivery(self, device: str, *readings: Scan) -> Delivery:
        driver = self.drivers[device]
        return delivery(device, driver.boot, driver.next_seq, *readings, acked_through=driver.settled)

    def send(self, device: str, sent: Delivery) -> list[Outcome]:
        answers = outcomes(self.core.tell(sent))
        self.answered(sent, answers)
        return answers

    def answered(self, sent: Delivery, answers: list[Outcome]) -> None:
        driver = self.drivers[sent.device]
        driver.next_seq += len(sent.readings)
        if any(one.code in (*BOOKED, "undo") for one in answers):
            driver.kept.append((sent, answers))
        driver.kept = [one for one in driver.kept if one[0].first_seq > driver.settled]

    def kept(self) -> list[tuple[Delivery, list[Outcome]]]:
        return [one for driver in self.drivers.values() for one in driver.kept]

    def remember(self, device: str, items: list[int], quantity: int) -> None:
        sign = DEVICES[device][1]
        for at, item in enumerate(items):
            sku, change = f"S{item + 1}", sign * (quantity if quantity and at == 0 else 1)
            self.on_hand[sku] += change
            self.bookings.append((device, sku, change))
            self.movements += 1

    def next_folder(self) -> Path:
        self.generation += 1
        return self.base / str(self.generation)

    def move_to(self, folder: Path) -> None:
        """The dead process's connection is dropped only after the copy was taken."""
        self.core.close()
        self.core = self.opened(folder)

    def log_bytes(self) -> int:
        path = self.core.folder / "ledger.db-wal"
        return path.stat().st_size if path.exists() else 0

    def log_bytes_now(self) -> bytes:
        path = self.core.folder / "ledger.db-wal"
        return path.read_bytes() if path.exists() else b""


def changed_through(before: bytes, after: bytes, part: float) -> int:
    """A place `part` of the way through the bytes that differ."""
    same = next(
        (at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), len(before)
    )
    return same + int(part * (len(after) - same))


@contextlib.contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond it: EFBIG, as real as ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_whatever_happens_the_ledger_tells_the_same_story_as_a_dictionary(capsys):
    run_state_machine_as_test(
        LedgerAgainstDictionary,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS_PER_EXAMPLE,
            deadline=None,
            derandomize=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )

    with capsys.disabled():
        print(f"\n  {steps.total()} steps against the dictionary: {dict(steps)}")
    assert steps.total() >= STEPS_AT_LEAST
