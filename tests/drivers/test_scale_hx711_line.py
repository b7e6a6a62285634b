"""A shelf on an HX711 behind a serial board that prints raw counts."""

from decimal import Decimal

from drivers.contract import Garbled, Health, Weight
from drivers.load_cell import LoadCell
from drivers.scale_hx711_line import LINE_BYTES_MAX, Hx711LineDecoder

CELL = LoadCell(zero_counts=-30_217, counts_per_gram=10, division_grams=Decimal(1), samples_per_s=10)


def decoder() -> Hx711LineDecoder:
    return Hx711LineDecoder(CELL, baud=115_200)


def test_counts_line_by_line_become_a_weight():
    readings = decoder().feed(b"-25217\r\n" * 20, 0.0)

    assert readings[-1] == Weight(
        value=Decimal(500), unit="g", stable=True, quality="warming_up", raw_hex="ff9d7f"
    )


def test_an_open_wire_has_no_weight():
    assert decoder().feed(b"8388607\n", 0.0) == [Weight(status="saturated", stable=False, raw_hex="7fffff")]


def test_a_board_that_sends_grams_is_not_believed():
    assert decoder().feed(b"250.5\n", 0.0) == [
        Garbled(error="not a whole number of counts", raw_hex="3235302e35")
    ]


def test_lines_without_end_take_no_memory_and_the_next_line_is_read():
    board = decoder()
    for _ in range(1_000):
        board.feed(b"7" * 1_000, 0.0)

    readings = board.feed(b"\n" + b"-25217\n" * 20, 0.0)

    assert len(readings[0].raw_hex) == 2 * (LINE_BYTES_MAX + 1)
    assert readings[-1].value == Decimal(500)


def test_noise_names_the_baud_rate_as_the_suspect():
    readings = decoder().feed(b"\xf3\x81\n\x9c\n\xe1\xe1\n", 0.0)

    assert [one.status for one in readings if isinstance(one, Health)] == ["baud_suspect"]


def test_a_board_that_prints_weights_is_told_to_print_counts():
    readings = decoder().feed(b"12.5 g\n12.6 g\n12.5 g\n", 0.0)

    (doubt,) = [one for one in readings if isinstance(one, Health)]
    assert (doubt.status, "let the board print raw counts" in (doubt.error or "")) == (
        "protocol_suspect",
        True,
    )


def test_half_a_line_at_the_unplug_is_no_weight():
    board = decoder()
    board.feed(b"-252", 1.0)

    assert board.idle(1.5) == [Garbled(error="half a line: no end came", raw_hex="2d323532")]


def test_a_board_that_falls_silent_is_said_once():
    board = decoder()
    board.feed(b"-25217\n", 1.0)

    assert [[one.status for one in board.idle(at_s)] for at_s in (2.9, 3.0, 4.0)] == [[], ["silent"], []]
