"""The two windows and the pauses: what may be sent, and when it is sent again."""

from random import Random

from gateway.cloud.window import Backoff, Flow, LineWindow

KB = 1024


def flow(**state) -> Flow:
    return Flow(Random(1), **state)


def test_no_more_than_32_messages_are_under_way_to_the_broker():
    window = LineWindow()
    for message_id in range(32):
        assert window.open
        window.sent(message_id, 100, now_s=0)

    assert not window.open


def test_a_broker_that_takes_fewer_at_a_time_gets_fewer():
    window = LineWindow(messages_max=2)
    window.sent(1, 100, now_s=0)
    window.sent(2, 100, now_s=0)

    assert not window.open


def test_a_swift_line_is_filled_and_a_slow_one_is_not_so_that_an_alert_is_not_stuck():
    window = LineWindow()
    for message_id in range(3):
        window.sent(message_id, 10 * KB, now_s=0)
        window.taken(message_id, now_s=0.1)
    assert window.message_bytes_max == 128 * KB

    for message_id in range(3, 9):
        window.sent(message_id, 60 * KB, now_s=0)
        window.taken(message_id, now_s=7.5)

    assert window.message_bytes_max == 8 * KB


def test_a_broker_that_takes_nothing_for_two_minutes_is_left():
    window = LineWindow()
    assert not window.stuck(now_s=500)
    window.sent(1, 100, now_s=0)
    window.sent(2, 100, now_s=100)
    assert not window.stuck(now_s=119)
    assert window.stuck(now_s=121)

    window.taken(1, now_s=121)
    assert not window.stuck(now_s=121)


def test_what_the_broker_takes_twice_makes_room_once():
    window = LineWindow(messages_max=1)
    window.sent(1, 100, now_s=0)
    window.taken(1, now_s=0)
    window.taken(1, now_s=0)
    window.sent(2, 100, now_s=0)

    assert not window.open


def test_at_most_20000_movements_wait_for_their_confirmation():
    lane = flow(acked=500, sent=500, newest=90_000)
    lane.on_sent(20_500, now_s=0)

    assert lane.room == 0
    lane.on_ack(600, now_s=1)
    assert lane.room == 100


def test_silence_for_half_a_minute_sends_everything_unconfirmed_again_and_then_waits_longer():
    lane = flow(acked=10, sent=10, newest=300)
    lane.on_sent(300, now_s=0)

    assert not lane.overdue(now_s=23)
    assert lane.overdue(now_s=37)
    assert (lane.sent, lane.acked) == (10, 10)

    lane.on_sent(300, now_s=37)
    assert not lane.overdue(now_s=84)
    assert lane.overdue(now_s=110)


def test_any_confirmation_makes_the_wait_short_again():
    lane = flow(acked=0, sent=0, newest=300, resend_wait_s=900)
    lane.on_sent(300, now_s=0)

    assert lane.on_ack(100, now_s=5)

    assert not lane.overdue(now_s=28)
    assert lane.overdue(now_s=42)


def test_a_confirmation_that_comes_late_or_twice_changes_nothing():
    lane = flow(acked=100, sent=200, newest=200)

    assert not lane.on_ack(100, now_s=0)
    assert not lane.on_ack(40, now_s=0)
    assert (lane.acked, lane.sent) == (100, 200)


def test_a_back_office_that_lost_its_books_is_sent_them_from_where_it_says():
    lane = flow(acked=5000, sent=5000, newest=5000)

    lane.go_back(0)

    assert (lane.acked, lane.sent, lane.waiting, lane.room) == (0, 0, True, 20_000)


def test_pauses_between_attempts_grow_to_five_minutes_and_never_fall_into_step():
    pauses = Backoff(Random(7))
    first = [pauses.next_s() for _ in range(12)]

    assert first[0] <= 1.0
    assert max(first) <= 300.0
    assert max(first) > 60.0
    assert first != [pauses.next_s() for _ in range(12)]
    pauses.reset()
    assert pauses.next_s() <= 1.0
