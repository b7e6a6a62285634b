"""The check card: it can be scanned as printed, and what arrives says how the scanner is set."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drivers.contract import Scan
from drivers.hid_scanner import HidScannerConfig, HidScannerDecoder
from drivers.keyboard_layouts import LAYOUTS
from drivers.typed_keys import input_records, strokes
from gateway.stock.check_card import GS1, HALVES, Arrival, card_html, judge
from gateway.stock.printed_codes import WIDTHS, code128, gs1_data_matrix

CHROMIUM = shutil.which("chromium")
CHROMIUM_ARGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
ALL = [*HALVES, GS1]


def typed(text: str, layout: str, aim: str = "", took_s: float = 0.05, at_s: float = 0.0) -> Arrival:
    """A scanner set to `layout` types `text`; how each layout that we know would read it."""
    records = b"".join(input_records(strokes(f"{aim}{text}", layout, "enter")))
    texts, found_aim = {}, ""
    for name in LAYOUTS:
        for reading in HidScannerDecoder(HidScannerConfig(layout=name)).feed(records, 0.0):  # type: ignore[arg-type]
            if isinstance(reading, Scan):
                texts[name] = reading.data
                found_aim = (reading.aim or "") if name == layout else found_aim
    return Arrival(texts, found_aim, at_s, took_s)


def sent(text: str, aim: str = "") -> Arrival:
    return Arrival({"": text}, aim)


GOOD = [sent(HALVES[0], "]C0"), sent(HALVES[1], "]C0"), sent(GS1, "]d2")]


def test_a_scanner_that_is_set_well_needs_nothing() -> None:
    verdict = judge(GOOD)

    assert (verdict.aim, verdict.separator, verdict.settings, verdict.remedies) == (True, "kept", {}, ())


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"us", "pl"}))
def test_the_layout_is_found_from_what_arrives(layout: str) -> None:
    verdict = judge([typed(text, layout) for text in HALVES])

    assert verdict.layouts == (layout,)
    assert verdict.settings == {"layout": layout}


def test_layouts_that_are_equal_on_every_code_are_both_named() -> None:
    verdict = judge([typed(text, "us") for text in ALL])

    assert verdict.layouts == ("pl", "us")
    assert verdict.settings == {"layout": "us"}
    assert verdict.separator == "kept"


def test_prefix_and_suffix_are_told_apart_from_the_code() -> None:
    verdict = judge([sent(f"#A{text}!") for text in HALVES])

    assert (verdict.prefix, verdict.suffix) == ("#A", "!")
    assert verdict.settings == {"prefix": "#A", "suffix": "!"}


def test_an_identifier_behind_a_prefix_is_an_identifier() -> None:
    verdict = judge([sent(f"#]C0{text}") for text in HALVES])

    assert (verdict.prefix, verdict.aim) == ("#", True)


def test_a_scanner_that_drops_the_separator_is_told_what_to_do() -> None:
    verdict = judge([*GOOD[:2], sent(GS1.replace("\x1d", ""), "]d2")])

    assert verdict.separator == "lost"
    assert verdict.remedies == (
        "This scanner drops the GS1 separator: lot and expiry cannot be read."
        ' Scan "Enable GS" (or "FNC1 as GS") in its manual, then repeat.',
    )


def test_a_separator_that_comes_as_something_else_is_shown() -> None:
    assert judge([*GOOD[:2], sent(GS1.replace("\x1d", "^"), "]d2")]).separator == "comes as '^'"


def test_without_identifiers_the_remedy_names_the_setting() -> None:
    verdict = judge([sent(text) for text in ALL])

    assert verdict.aim is False
    assert verdict.remedies[0].startswith('Scan "AIM identifier on"')


def test_a_laser_scanner_skips_the_square_code() -> None:
    assert judge(GOOD[:2]).separator == "not scanned"


def test_a_slow_keyboard_gets_a_longer_silence() -> None:
    verdict = judge([typed(text, "de", took_s=0.09 * (len(text) - 1)) for text in HALVES])

    assert round(verdict.key_ms) == 90
    assert verdict.settings == {"layout": "de", "idle_ms": 300}


def test_a_code_held_in_the_beam_tells_how_often_it_is_read() -> None:
    held = [Arrival({"": HALVES[0]}, "]C0", at_s=0.8 * number) for number in range(5)]

    verdict = judge([*held, *GOOD[1:]])

    assert (verdict.repeat_ms, verdict.settings) == (800, {"bounce_ms": 960})


@pytest.mark.parametrize(
    ("arrivals", "said"),
    [
        ([], "Nothing arrived."),
        ([sent(HALVES[0])], f'Scan the one with "{HALVES[1]}" under it, too.'),
        ([sent("5901234123457")], "fits no keyboard layout"),
    ],
)
def test_too_little_is_said_and_not_guessed(arrivals: list[Arrival], said: str) -> None:
    verdict = judge(arrivals)

    assert not verdict.fits
    assert said in verdict.remedies[0]


def test_every_character_of_code_128_is_eleven_modules_wide() -> None:
    assert {sum(map(int, widths)) for widths in WIDTHS[:-1]} == {11}
    assert len(set(WIDTHS)) == 107


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="30 fit"):
        gs1_data_matrix("x" * 30)
    with pytest.raises(ValueError, match="only printable ASCII"):
        code128("é")


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_printed_card_can_be_scanned(tmp_path: Path, scale: float) -> None:
    zxingcpp = pytest.importorskip("zxingcpp")
    image = pytest.importorskip("PIL.Image")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    card, picture = tmp_path / "card.html", tmp_path / "card.png"
    card.write_text(card_html())
    command: list[Any] = [CHROMIUM, *CHROMIUM_ARGS, f"--user-data-dir={tmp_path / 'profile'}"]
    command += [f"--force-device-scale-factor={scale}", "--window-size=900,1100", f"--screenshot={picture}"]

    subprocess.run([*command, card.as_uri()], check=True, capture_output=True, timeout=120)

    read = zxingcpp.read_barcodes(image.open(picture))
    assert sorted((code.symbology_identifier, code.bytes.decode()) for code in read) == [
        ("]C0", HALVES[0]),
        ("]C0", HALVES[1]),
        ("]d2", GS1),
    ]


def test_the_card_needs_nothing_from_elsewhere() -> None:
    assert re.findall(r"(?:src|href)=|url\(|@import|<script", card_html()) == []
