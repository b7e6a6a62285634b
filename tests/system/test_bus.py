"""The bus: a reading is kept until it was answered, answered once, and in order, whatever is lost on the way."""

import os
import time

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.bus import (
    COMPANY_S,
    READINGS_PER_MESSAGE_MAX,
    RESEND_AFTER_S,
    UNACKNOWLEDGED_MAX,
    Acks,
    Delivery,
    Hello,
    Inlet,
    Late,
    Outlet,
    Status,
    encode,
)
from drivers.contract import Garbled, Outcome, Scan

OK = Outcome("ok")


class Line:
    """Both ends on one socket pair, the clock in the test's hand."""

    def __init__(self, address: str = "") -> None:
        self.address = address or f"inproc://{os.urandom(8).hex()}"
        self.inlet = Inlet(self.address)
        self.outlet = Outlet(self.address, "counter", "b1")
        self.peer = b""

    def arrived(self, wait_s: float = 0.05) -> list[Delivery]:
        """What the core has before it."""
        found = []
        while self.inlet.wait(wait_s):
            received = self.inlet.receive()
            assert received is not None
            self.peer, message = received
            found.append(message)
            wait_s = 0.005
        return found

    def answer(self, boot: str, first_seq: int, *outcomes: Outcome) -> None:
        self.inlet.send(self.peer, Acks(boot, first_seq, list(outcomes)))
        time.sleep(0.005)

    def close(self) -> None:
        self.outlet.close()
        self.inlet.close()


@pytest.fixture
def line():
    line = Line()
    yield line
    line.close()


def codes(count: int, first: int = 1) -> list[Scan]:
    return [Scan(str(number)) for number in range(first, first + count)]


def test_readings_arrive_numbered_with_their_age(line):
    line.outlet.offer(codes(2), now_s=10.0)
    line.outlet.flush(now_s=10.25)

    assert line.arrived() == [Delivery("counter", "b1", 0, 1, [250, 250], codes(2))]


def test_an_answer_settles_the_oldest_and_the_next_message_says_so(line):
    line.outlet.offer(codes(3), 10.0)
    line.outlet.flush(10.0)
    line.arrived()
    line.answer("b1", 1, OK, OK)

    answered, _ = line.outlet.receive(10.0)
    line.outlet.offer(codes(1, first=4), 11.0)
    line.outlet.flush(11.0)

    assert [one.reading.data for one in answered] == ["1", "2"]
    assert (line.outlet.waiting, line.outlet.settled_through) == (2, 2)
    assert [(one.acked_through, one.first_seq) for one in line.arrived()] == [(2, 4)]


def test_after_a_silence_everything_unanswered_is_sent_again(line):
    line.outlet.offer(codes(2), 10.0)
    line.outlet.flush(10.0)
    line.arrived()

    line.outlet.flush(10.0 + RESEND_AFTER_S)
    assert line.arrived() == []
    line.outlet.flush(10.5 + RESEND_AFTER_S)

    ((again,),) = [line.arrived()]
    assert (again.first_seq, again.readings, again.ages_ms) == (1, codes(2), [1500, 1500])


@pytest.mark.parametrize(
    ("boot", "first_seq", "outcomes", "settled"),
    [
        ("b1", 1, 1, 1),
        ("b1", 1, 3, 3),
        ("b1", 1, 9, 3),  # more answers than readings
        ("b1", 2, 2, 0),  # the first one was not answered yet
        ("b0", 1, 3, 0),  # of another run of this driver
    ],
)
def test_an_answer_counts_for_what_it_names_and_no_more(line, boot, first_seq, outcomes, settled):
    line.outlet.offer(codes(3), 10.0)
    line.outlet.flush(10.0)
    line.arrived()

    line.answer(boot, first_seq, *[OK] * outcomes)

    assert len(line.outlet.receive(10.0)[0]) == settled


def test_the_echo_of_a_resend_is_not_a_second_answer(line):
    line.outlet.offer(codes(2), 10.0)
    line.outlet.flush(10.0)
    line.arrived()

    line.answer("b1", 1, OK, OK)
    line.answer("b1", 1, OK, OK)

    assert len(line.outlet.receive(10.0)[0]) == 2


def test_many_readings_travel_in_bounded_messages_and_a_full_outlet_says_so(line):
    line.outlet.offer(codes(UNACKNOWLEDGED_MAX - 1), 10.0)
    assert not line.outlet.full
    line.outlet.offer(codes(1, first=UNACKNOWLEDGED_MAX), 10.0)
    assert line.outlet.full

    line.outlet.flush(10.0)

    sizes = [len(message.readings) for message in line.arrived()]
    assert sizes == [READINGS_PER_MESSAGE_MAX] * (UNACKNOWLEDGED_MAX // READINGS_PER_MESSAGE_MAX)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["offer", "answer", "lose", "twice"]), st.integers(1, 5)), max_size=25)
)
def test_whatever_answers_are_lost_or_doubled_each_reading_is_answered_once_and_in_order(steps):
    """The core answers whole messages, as it does; what is lost comes again by itself."""
    line, now_s, offered = Line(), 10.0, 0
    answered: list[str] = []
    try:
        for what, count in [*steps, ("end", 0), ("end", 0)]:
            if what == "offer":
                line.outlet.offer(codes(count, first=offered + 1), now_s)
                offered += count
            now_s += RESEND_AFTER_S + 0.1
            line.outlet.flush(now_s)
            for message in line.arrived(0.02 if line.outlet.waiting else 0.0):
                for _ in range({"lose": 0, "twice": 2}.get(what, 1)):
                    line.answer(message.boot, message.first_seq, *[OK] * len(message.readings))
            answered += [one.reading.data for one in line.outlet.receive(now_s)[0]]
    finally:
        line.close()

    assert answered == [str(number) for number in range(1, offered + 1)]


def test_a_core_that_died_and_is_back_gets_what_was_under_way(tmp_path):
    line = Line(f"ipc://{tmp_path}/bus")
    line.outlet.offer(codes(2), 10.0)
    line.outlet.flush(10.0)
    line.arrived(1.0)
    line.inlet.close()

    line.inlet = Inlet(line.address)
    line.outlet.offer(codes(1, first=3), 12.0)
    deadline_s, now_s, arrived = time.monotonic() + 120, 12.0, []
    while time.monotonic() < deadline_s and not any(one.first_seq == 1 for one in arrived):
        now_s += RESEND_AFTER_S + 0.1
        line.outlet.flush(now_s)
        arrived += line.arrived(0.1)

    whole = next(one for one in arrived if one.first_seq == 1)
    assert whole.readings == codes(3)
    line.close()


def test_a_question_without_an_answer_is_given_up_and_never_booked_behind_the_asker_s_back(line):
    with pytest.raises(TimeoutError):
        line.outlet.ask(Scan("1"), timeout_s=0.05)
    line.arrived()

    line.outlet.flush(time.monotonic() + 120)

    assert line.arrived() == []
    assert line.outlet.waiting == 0


def test_what_makes_no_sense_comes_as_its_error_and_the_next_message_is_read(line):
    stranger = zmq.Context.instance().socket(zmq.DEALER)
    stranger.connect(line.address)
    stranger.send(b"\xff\xff")
    stranger.send_multipart([b"one", b"too", b"many"])
    stranger.send(encode(Delivery("counter", "b1", 0, 1, [], codes(1))))  # a reading without its age
    stranger.close()
    line.outlet.report(Status("counter", "running", "", {"readings": 3}))

    kinds = [type(message).__name__ for message in line.arrived(0.5)]

    assert kinds.count("Status") == 1
    assert set(kinds) <= {"Status", "DecodeError", "ValidationError"}


def test_greetings_and_every_kind_of_reading_survive_the_way(line):
    line.outlet.hello([("b0", 7)])
    line.outlet.offer([Garbled("noise", "ff")], 10.0)
    line.outlet.flush(10.0)

    assert line.arrived() == [
        Hello("counter", "b1", [("b0", 7)]),
        Delivery("counter", "b1", 0, 1, [0], [Garbled("noise", "ff")]),
    ]
    line.inlet.send(line.peer, Late([Outcome("late", "booked 14:32:07", "4006381333931")]))
    for _ in range(1_200):
        if heard := line.outlet.receive(10.0)[1]:
            break
        line.outlet.wait(0.05)
    assert heard == [Late([Outcome("late", "booked 14:32:07", "4006381333931")])]


def test_a_scanner_by_itself_is_answered_at_once_however_fast_it_is(line):
    """As fast as the two below, whose looks are all `COMPANY_S` apart; its own are so only on a busy machine."""
    looks = []
    until_s = time.monotonic() + 60
    while len(looks) < 21 or (looks[-1] - looks[-11] >= 10 * COMPANY_S and time.monotonic() < until_s):
        for _ in range(2):
            line.outlet.offer([Scan(str(len(looks)))], time.monotonic())
            line.outlet.flush(time.monotonic())
        assert line.inlet.wait(60.0)
        looks.append(time.monotonic())
        while line.inlet.receive() is not None:
            pass

    assert looks[-1] - looks[-11] < 10 * COMPANY_S


def test_scanners_that_are_faster_than_people_share_a_commit():
    line = Line()
    other = Outlet(line.address, "stockroom", "b2")
    looks = []
    try:
        for number in range(1, 21):
            for outlet in (line.outlet, other):
                outlet.offer([Scan(str(number))], time.monotonic())
                outlet.flush(time.monotonic())
            assert line.inlet.wait(60.0)
            looks.append(time.monotonic())
            while line.inlet.receive() is not None:
                pass
    finally:
        other.close()
        line.close()

    assert looks[-1] - looks[-11] >= 10 * COMPANY_S


def test_the_bus_and_a_device_are_waited_for_together(line):
    read, write = os.pipe()
    line.outlet.watch(read)
    line.outlet.receive(0.0)
    assert line.outlet.wait(0.01) == []

    os.write(write, b"x")
    assert line.outlet.wait(5.0) == [read]
    line.outlet.unwatch(read)

    line.outlet.offer(codes(1), 10.0)
    line.outlet.flush(10.0)
    line.arrived()
    line.outlet.receive(10.0)
    line.answer("b1", 1, OK)
    assert line.outlet.wait(5.0) == []
    assert not line.outlet.heard_all
    assert [one.outcome for one in line.outlet.receive(10.1)[0]] == [OK]

    os.close(read)
    os.close(write)
