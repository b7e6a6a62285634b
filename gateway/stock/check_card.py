"""Pure: the scanner check card, and what the codes that arrive from it say about a scanner.

Two Code 128 carry every character by which keyboard layouts differ, a GS1 Data Matrix carries a separator in its
middle. What arrives tells layout, prefix, suffix, identifier, separator and speed; and what to change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from statistics import median

from gateway.stock.printed_codes import GS, code128, gs1_data_matrix, svg

HALVES = ("0123456789AZQWYMaz", "qwym-_/:;@#+*.$%")
GS1_LOT = "010952000000000110LOT-7"  # GTIN 09520000000011, lot LOT-7 ...
GS1_SERIAL = "2142"  # ... and, behind the separator, serial 42
GS1 = f"{GS1_LOT}{GS}{GS1_SERIAL}"
AIM_CODE128, AIM_GS1_MATRIX = "]C0", "]d2"

IDLE_MS = 150  # of hid_scanner
IDLE_MS_MAX = 2_000
ADVICE = (
    *("nothing", "half", "no_layout", "layouts", "no_aim", "no_gs1"),
    *("separator_lost", "separator_other", "separator_unseen"),
)
REPEAT_WITHIN_S = 5.0  # the same code again later than this was scanned by hand
REPEATS_MIN = 3  # so often in a row before it is called a code held in the beam
MODULE_PX, MATRIX_MODULE_PX, BAR_PX = 2, 4, 80  # of 1/96 inch: modules of 0.53 and 1.06 mm

STYLE = """
  body { font: 12pt/1.4 system-ui, sans-serif; margin: 48px; color: #000; background: #fff }
  figure { margin: 40px 0 }
  figcaption { font: 10pt monospace; margin-top: 8px }
  ol { padding-left: 1.2em }
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One scan of the card. `texts`: what it says in each keyboard layout; {"": text} when it sends characters."""

    texts: Mapping[str, str]
    aim: str = ""  # identifier that the driver split off
    at_s: float = 0.0  # its end
    took_s: float = 0.0  # from its first to its last character


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out. `settings` goes into the device's section of config.toml."""

    layouts: tuple[str, ...] = ()  # those that fit; several when they agree on all of the card
    prefix: str = ""
    suffix: str = ""
    aim: bool | None = None  # None: no code of the card arrived
    separator: str = "not scanned"  # "kept", "lost", or what comes in its place
    key_ms: float = 0.0  # from character to character
    repeat_ms: int | None = None  # a presentation scanner reads a code that stays in the beam again so often
    settings: Mapping[str, str | int] = field(default_factory=dict)
    remedies: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()  # the same as words of ADVICE, for pages in other languages

    @property
    def fits(self) -> bool:
        return self.aim is not None

    @property
    def is_complete(self) -> bool:
        """All three codes arrived."""
        return self.fits and self.separator != "not scanned"


def judge(arrivals: Sequence[Arrival]) -> Verdict:
    """What the scans of the card say. Any order, any of them more than once; other codes are ignored."""
    seen = {layout for arrival in arrivals for layout in arrival.texts}
    layouts = tuple(
        layout for layout in sorted(seen) if all(_scanned(arrivals, layout, half) for half in HALVES)
    )
    if not layouts:
        why, sentence = _nothing_fits(arrivals, seen)
        return Verdict(remedies=(sentence,), advice=(why,))
    layout = "us" if "us" in layouts else layouts[0]
    first = _scanned(arrivals, layout, HALVES[0])
    assert first is not None
    before, _, suffix = first.texts[layout].partition(HALVES[0])
    aim = bool(first.aim) or before.endswith(AIM_CODE128)
    prefix = before.removesuffix(AIM_CODE128)
    separator, matrix_aim = _separator(arrivals, layout, prefix, suffix)
    key_ms = _key_ms(arrivals, layout)
    repeat_ms = _repeat_ms(arrivals)
    settings: dict[str, str | int] = {} if layout == "" else {"layout": layout}
    settings |= {name: text for name, text in (("prefix", prefix), ("suffix", suffix)) if text}
    if layout and key_ms * 3 > IDLE_MS:
        settings["idle_ms"] = min(IDLE_MS_MAX, round(key_ms * 3 / 50 + 0.5) * 50)
    if repeat_ms is not None:
        settings["bounce_ms"] = round(repeat_ms * 1.2)
    remedies = _remedies(layouts, aim, separator, matrix_aim)
    return Verdict(
        layouts,
        prefix,
        suffix,
        aim,
        separator,
        key_ms,
        repeat_ms,
        settings,
        tuple(sentence for _, sentence in remedies),
        tuple(why for why, _ in remedies),
    )


def _scanned(arrivals: Sequence[Arrival], layout: str, text: str) -> Arrival | None:
    return next((arrival for arrival in arrivals if text in arrival.texts.get(layout, "")), None)


def _nothing_fits(arrivals: Sequence[Arrival], seen: set[str]) -> tuple[str, str]:
    if not arrivals:
        sentence = "Nothing arrived. Does the scanner beep? Then look at its cable and at the device's path."
        return "nothing", sentence
    for half in HALVES:
        if any(_scanned(arrivals, layout, half) for layout in seen):
            other = HALVES[1 - HALVES.index(half)]
            sentence = f'Only one of the two long codes arrived. Scan the one with "{other}" under it, too.'
            return "half", sentence
    return "no_layout", (
        "What arrived fits no keyboard layout that we know. Scan both long codes; if you did, set the scanner"
        ' to "USB keyboard, US English" (or better, to "USB COM port") with its manual, then repeat.'
    )


def _separator(arrivals: Sequence[Arrival], layout: str, prefix: str, suffix: str) -> tuple[str, str]:
    """What became of the separator, and the identifier that came with it."""
    arrival = next((one for one in arrivals if GS1_LOT in one.texts.get(layout, "")), None)
    if arrival is None:
        return "not scanned", ""
    before, _, behind = arrival.texts[layout].partition(GS1_LOT)
    found = behind.removesuffix(suffix).removesuffix(GS1_SERIAL)
    aim = arrival.aim or before.removeprefix(prefix)[:3]
    return {GS: "kept", "": "lost"}.get(found, f"comes as {found!r}"), aim


def _key_ms(arrivals: Sequence[Arrival], layout: str) -> float:
    gaps = [
        1000 * one.took_s / (len(one.texts[layout]) - 1)
        for one in arrivals
        if len(one.texts.get(layout, "")) > 1
    ]
    return median(gaps) if gaps else 0.0


def _repeat_ms(arrivals: Sequence[Arrival]) -> int | None:
    """From one code held in the beam; None when nothing came often enough in a row."""
    gaps: list[float] = []
    for before, after in pairwise(arrivals):
        gap_s = after.at_s - before.at_s
        if before.texts == after.texts and gap_s < REPEAT_WITHIN_S:
            gaps.append(gap_s)
        elif len(gaps) < REPEATS_MIN - 1:
            gaps = []
    return round(1000 * median(gaps)) if len(gaps) >= REPEATS_MIN - 1 else None


def _remedies(layouts: tuple[str, ...], aim: bool, separator: str, matrix_aim: str) -> list[tuple[str, str]]:
    """(word of ADVICE, the sentence) for each thing to know or to change."""
    found = []
    if len(layouts) > 1:
        sentence = f"The layouts {', '.join(layouts)} agree on every code; any of them will do."
        found.append(("layouts", sentence))
    if not aim:
        sentence = (
            'Scan "AIM identifier on" (or "Transmit code ID: AIM") in its manual: without it 8 digits can be read'
            " in two ways."
        )
        found.append(("no_aim", sentence))
    elif separator != "not scanned" and matrix_aim != AIM_GS1_MATRIX:
        sentence = 'It does not tell GS1 codes from others: scan "GS1 enabled" in its manual, then repeat.'
        found.append(("no_gs1", sentence))
    if separator == "lost":
        sentence = (
            "This scanner drops the GS1 separator: lot and expiry cannot be read."
            ' Scan "Enable GS" (or "FNC1 as GS") in its manual, then repeat.'
        )
        found.append(("separator_lost", sentence))
    elif separator.startswith("comes as"):
        sentence = (
            f"The GS1 separator {separator}: set it back to GS (hexadecimal 1D) with its manual, then repeat."
        )
        found.append(("separator_other", sentence))
    elif separator == "not scanned":
        sentence = (
            "The square code was not scanned: lot and expiry were not tested."
            " A scanner with a laser line cannot."
        )
        found.append(("separator_unseen", sentence))
    return found


def card_html() -> str:
    """The card to print, or to scan from a screen."""
    codes = "".join(
        f"<figure>{svg(code128(half), MODULE_PX, BAR_PX, escape(half))}<figcaption>{escape(half)}</figcaption></figure>"
        for half in HALVES
    )
    matrix = svg(gs1_data_matrix(GS1), MATRIX_MODULE_PX, title="GS1 Data Matrix")
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Scanner check card</title>
<style>{STYLE}</style>
<h1>Scanner check card</h1>
<ol>
  <li>On the box: <code>storekeeper devices check-card --listen NAME</code></li>
  <li>Scan the two long codes and, if the scanner can, the square one. Any order.</li>
  <li>A scanner that stands on the counter: hold one code in its beam for some seconds.</li>
</ol>
{codes}
<figure>{matrix}<figcaption>(01)09520000000011(10)LOT-7(21)42</figcaption></figure>
</html>
"""
