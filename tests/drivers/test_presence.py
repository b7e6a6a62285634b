"""Who is on the shelf: tags that arrive, stay, move and depart; and a reader that cannot tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import AnyReading, Health, Presence, TagRead
from drivers.presence import TAGS_MAX, PresenceDecoder, Zones, ZonesConfig, watched

CONFIG = ZonesConfig(presence=True, arrive_reads=2, arrive_window_s=3, depart_after_s=10, move_db=6)
JAM, TEA = "30751feb705c5904e3d50d70", "e200001d7315016521408fc6"


class Reader:
    """Says what the script has put on its tongue: a decoder whose readings are given."""

    def __init__(self) -> None:
        self.said: list[AnyReading] = []

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        said, self.said = self.said, []
        return said

    def idle(self, now_s: float) -> list[AnyReading]:
        return self.feed(b"", now_s)


class Field:
    """A reader with its zones, told second by second what it sees."""

    def __init__(self, config: ZonesConfig = CONFIG) -> None:
        self.config, self.zones, self.told = config, Zones(), []
        self.connect()

    def connect(self) -> None:
        self._reader = Reader()
        self._decoder = PresenceDecoder(self._reader, self.zones, self.config)

    def at(self, now_s: float, *said: AnyReading) -> list[str]:
        """Which statuses of presence follow."""
        self._reader.said = list(said)
        told = self._decoder.feed(b"", now_s)
        self.told += told
        return [one.status for one in told if isinstance(one, Presence)]

    def idle(self, now_s: float) -> list[str]:
        return [one.status for one in self._decoder.idle(now_s) if isinstance(one, Presence)]


def tag(epc: str = JAM, antenna: int | None = 1, rssi: int | None = -50) -> TagRead:
    return TagRead(epc=epc, antenna=antenna, rssi_dbm=rssi)


ALIVE = Health(status="keepalive")


def arrived(field: Field, *tags: TagRead) -> Field:
    field.at(0.0, *tags)
    field.at(0.5, *tags)
    return field


def test_one_read_is_a_stray_and_two_are_an_arrival():
    field = Field()

    assert [field.at(0.0, tag()), field.at(1.0, tag()), field.at(2.0, tag())] == [[], ["arrived"], []]


def test_two_reads_too_far_apart_are_two_strays():
    field = Field()

    assert [field.at(0.0, tag()), field.at(3.5, tag()), field.at(7.0, tag())] == [[], [], []]


def test_an_arrival_says_where_and_how_strong():
    field = Field()
    field.at(0.0, tag(antenna=3, rssi=-61))
    field.at(1.0, tag(antenna=3, rssi=-60))

    assert field.told == [Presence(JAM, "arrived", 3, -60)]


def test_a_tag_departs_after_ten_seconds_in_which_the_reader_worked():
    field = arrived(Field(), tag())

    assert [field.at(at_s, ALIVE) for at_s in (5.0, 10.4, 10.5, 20.0)] == [[], [], ["departed"], []]


def test_another_tag_in_the_field_proves_that_the_reader_works():
    field = arrived(Field(), tag(JAM), tag(TEA))

    departures = [field.at(float(at_s), tag(TEA)) for at_s in range(1, 13)]

    assert departures[:10] == [[]] * 10
    assert departures[10] == ["departed"]


def test_a_tag_that_is_missed_for_nine_seconds_stays():
    field = arrived(Field(), tag())
    field.at(9.5, ALIVE)

    assert [field.at(9.6, tag()), field.at(19.0, ALIVE)] == [[], []]


def test_silence_of_the_line_departs_nobody():
    field = arrived(Field(), tag())

    assert field.idle(100.0) == []


def test_an_unplugged_reader_does_not_sell_the_shop():
    field = arrived(Field(), tag(JAM), tag(TEA))
    field.idle(3_600.0)  # the host, at the unplug: whatever is half read is over
    field.connect()

    assert [field.at(50.0, Health(status="connected")), field.at(59.0, ALIVE)] == [[], []]


def test_after_a_reconnect_a_tag_has_the_whole_time_again_and_then_departs():
    field = arrived(Field(), tag())
    field.at(9.0, ALIVE)
    field.connect()

    assert [field.at(float(at_s), ALIVE) for at_s in (60, 69, 70)] == [[], [], ["departed"]]


@pytest.mark.parametrize("status", ["keepalive_lost", "silent", "hot", "reader_error", "closed"])
def test_a_reader_in_trouble_stops_the_time(status):
    field = arrived(Field(), tag())
    field.at(9.0, Health(status=status))

    assert [field.at(30.0, ALIVE), field.at(39.0, ALIVE)] == [[], []]


def test_a_reader_that_was_mute_without_a_word_departs_nobody():
    field = arrived(Field(), tag())

    assert [field.at(600.0, ALIVE), field.at(605.0, ALIVE)] == [[], []]


def test_one_lucky_read_by_the_other_antenna_is_no_move():
    field = arrived(Field(), tag(antenna=1, rssi=-50))

    assert field.at(1.0, tag(antenna=2, rssi=-30)) == []


def test_five_db_better_is_not_better():
    field = arrived(Field(), tag(antenna=1, rssi=-50))

    assert [field.at(1.0 + n, tag(antenna=2, rssi=-45), tag(antenna=1, rssi=-50)) for n in range(9)] == [
        []
    ] * 9


def test_a_tag_that_is_really_nearer_to_the_other_antenna_moves_once():
    field = arrived(Field(), tag(antenna=1, rssi=-60))

    moves = [field.at(1.0 + n, tag(antenna=2, rssi=-50), tag(antenna=1, rssi=-62)) for n in range(5)]

    assert moves == [[], ["moved"], [], [], []]
    assert field.told[-1] == Presence(JAM, "moved", 2, -50)


def test_a_tag_between_two_antennas_does_not_move_to_and_fro():
    field = arrived(Field(), tag(antenna=1, rssi=-52))
    said = [tag(antenna=1 + n % 2, rssi=-52 + (n % 5)) for n in range(200)]

    assert [field.at(1.0 + n / 10, one) for n, one in enumerate(said)] == [[]] * 200


def test_without_signal_strength_a_tag_moves_when_its_old_antenna_lost_it():
    field = arrived(Field(), tag(antenna=1, rssi=None))

    moves = [field.at(float(at_s), tag(antenna=2, rssi=None)) for at_s in range(1, 13)]

    assert [move for move in moves if move] == [["moved"]]
    assert moves[10] == ["moved"]  # ten seconds after its last read there


def test_presence_is_a_setting_and_off_by_itself():
    reader = Reader()

    assert watched(reader, Zones(), ZonesConfig()) is reader


def test_a_field_of_too_many_tags_is_said_once_and_takes_no_more_memory():
    field = Field(ZonesConfig(presence=True, arrive_reads=1))

    for number in range(TAGS_MAX + 50):
        field.at(0.0, tag(f"{number:024x}"))

    assert [one.status for one in field.told if isinstance(one, Health)] == ["too_many_tags"]
    assert len(field.zones._present) == TAGS_MAX


def test_a_million_strays_take_no_more_memory_than_some():
    zones = Zones()

    for number in range(TAGS_MAX + 500):
        zones.read(tag(f"{number:024x}"), 0.0, CONFIG)

    assert len(zones._arriving) == TAGS_MAX


events = st.lists(
    st.tuples(
        st.floats(0, 50),
        st.sampled_from([ALIVE, Health(status="hot"), tag(), tag(antenna=2), tag(TEA), "reconnect"]),
    ),
    max_size=60,
)


@given(events)
def test_nobody_departs_who_did_not_arrive_and_nobody_arrives_twice(events):
    field, now_s = Field(), 0.0
    for wait_s, event in events:
        now_s += wait_s
        if event == "reconnect":
            field.connect()
        else:
            field.at(now_s, event)

    for epc in (JAM, TEA):
        story = [
            one.status
            for one in field.told
            if isinstance(one, Presence) and one.epc == epc and one.status != "moved"
        ]
        assert story == ["arrived", "departed"] * (len(story) // 2) + ["arrived"] * (len(story) % 2)
