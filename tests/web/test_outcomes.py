"""What each outcome looks like: the web process alone, hints sent as the core sends them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from sqlite3 import connect
from typing import Any

import corner_shop
import pytest
import zmq
from corner_shop import SCANNER
from real_shop import free_port, read_address, wait_for
from test_every_page import AXE, AXE_DARK_RULES, AXE_RULES, SMALL_TARGETS, TEXT_OUTSIDE, axe

from drivers.bus import Event, Hint, encode
from gateway.ledger.writer import Writer
from gateway.stock.movements import Draft

WEB = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import corner_shop
from gateway.web.app import main
folder = Path({folder!r})
main(corner_shop.settings(folder, port={port}), f"ipc://{{folder}}/bus", f"ipc://{{folder}}/hint")
"""
SIZES = ((800, 480), (720, 1280), (390, 844))


@dataclass
class Pages:
    address: str
    folder: Path
    writer: Writer
    hints: "zmq.Socket[bytes]"

    def tell(self, code: str, text: str = "", about: str = "", **rest: Any) -> None:
        event = Event(SCANNER, code, text, about, time.time_ns() // 1000, **rest)
        self.hints.send(encode(Hint(self.writer.last_seq, [event])))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("p")
    writer = corner_shop.build(folder)
    hints = zmq.Context.instance().socket(zmq.PUB)
    hints.bind(f"ipc://{folder}/hint")
    program = WEB.format(tests=str(Path(__file__).parent), folder=str(folder), port=free_port())
    web = subprocess.Popen([sys.executable, "-c", program])
    address = wait_for(lambda: read_address(folder), "the pages")
    yield Pages(address, folder, writer, hints)
    web.terminate()
    assert web.wait(3) == 0
    hints.close()
    writer.close()


@pytest.fixture(scope="module")
def kiosk(browser: Any, pages: Pages) -> Iterator[Any]:
    """One page that stays open, as on a counter, with the checks loaded into it."""
    context = browser.new_context(reduced_motion="reduce")
    opened = context.new_page()
    opened.goto(f"{pages.address}/counter?station={SCANNER}")
    opened.evaluate(AXE)
    wait_for(lambda: heard(opened, pages), "the first hint on the page")
    yield opened
    context.close()


@pytest.fixture
def counter(kiosk: Any) -> Any:
    kiosk.set_viewport_size({"width": 800, "height": 480})
    kiosk.emulate_media(color_scheme="light")
    return kiosk


def heard(page: Any, pages: Pages) -> bool:
    """A subscriber may join a moment late; from the first hint that arrives on, none is lost."""
    pages.tell("mode", "sell", mode="sell")
    page.wait_for_timeout(100)
    return "Every scan is a sale" in str(page.inner_text(".card"))


OUTCOMES = (
    ("ok", {"sku": "milk", "about": "4000417025005", "qty": -1, "left": 28, "mode": "sell"}, "SOLD 1"),
    ("ok", {"sku": "long", "about": "3017620422003", "qty": -1, "left": 8, "mode": "sell"}, "spelt spaghetti"),
    ("ok", {"sku": "apples", "about": "1", "qty": -840, "left": 12345, "mode": "sell"}, "12.345\u202fkg"),
    ("low", {"sku": "eggs", "about": "5000112637922", "qty": -1, "left": 2, "mode": "sell"}, "Running low"),
    ("ok", {"sku": "yoghurt", "about": "4012345678901", "qty": -1, "left": 13, "mode": "sell"}, "3 expire"),
    ("negative", {"sku": "choc", "about": "7610400068741", "qty": -1, "left": -1, "mode": "sell"},
     "please count shelf Till"),
    ("expired", {"sku": "rye-bread", "about": "4006381333931", "qty": -1, "left": 8, "mode": "sell"},
     "take it off the shelf"),
    ("ok", {"sku": "milk", "about": "4000417025005", "qty": 144, "left": 172, "mode": "receive"}, "RECEIVED 144"),
    ("unknown", {"about": "8711000000007", "mode": "sell"}, "3 scans wait"),
    ("unknown", {"about": "0123456789" * 8, "mode": "look"}, "Nobody has named this code"),
    ("garbled", {"text": "4000417999999 has a wrong check digit"}, "Scan again"),
    ("refused", {"text": "SK/WASTE/lost is no reason; use one of: expired, damaged, stolen, tasting, own-use, donated",
                 "about": "SK/WASTE/lost"}, "is no reason"),
    ("mode", {"text": "x12 next", "mode": "sell"}, "×12"),
    ("mode", {"text": "waste (tasting)", "mode": "waste"}, "Tasting"),
    ("undo", {"sku": "milk", "qty": 1, "left": 29, "mode": "sell"}, "UNDONE"),
    ("shown", {"sku": "coffee", "about": "8711000539279", "left": 5, "mode": "look"}, "€14.90"),
    ("late", {"text": "booked 14:32:07: Fresh milk 3.5 % 1 L: 28 left", "about": "4000417025005"},
     "Do not scan it again"),
    ("not_recording", {"text": "the disk is full: scans are NOT counted. Delete files from its disk"},
     "Write down scans"),
)  # fmt: skip


@pytest.mark.parametrize(("code", "event", "says"), OUTCOMES, ids=lambda value: str(value)[:24])
def test_every_outcome_has_a_panel_that_is_readable_on_every_screen(
    counter: Any, pages: Pages, code: str, event: dict[str, Any], says: str
) -> None:
    pages.tell(code, **event)
    counter.wait_for_function("text => document.querySelector('.card').innerText.includes(text)", arg=says)

    found: list[str] = []
    for width, height in SIZES:
        counter.set_viewport_size({"width": width, "height": height})
        found += [f"{width}x{height}: text {how}: {text}" for how, text in counter.evaluate(TEXT_OUTSIDE)]
        found += [f"{width}x{height}: small target {one}" for one in counter.evaluate(SMALL_TARGETS)]
    for scheme in ("light", "dark"):
        counter.emulate_media(color_scheme=scheme)
        rules = AXE_RULES if scheme == "light" else AXE_DARK_RULES
        found += [f"{scheme}: axe {one}" for one in axe(counter, rules)]
    assert found == []


def test_what_was_booked_is_shown_within_seconds_though_its_hint_was_lost(counter: Any, pages: Pages) -> None:
    batch = pages.writer.batch()
    batch.stamp = replace(batch.stamp, wall_us=time.time_ns() // 1000)
    batch.book(Draft("sale", "dish-soap", 1, "shop", "CUSTOMER"), SCANNER, f"{SCANNER}/unheard/1/0")
    pages.writer.commit(batch)

    counter.wait_for_function(
        "() => document.querySelector('.feed').innerText.includes('Dishwashing liquid')", timeout=90_000
    )


def test_bookings_in_a_burst_reach_the_page_as_few_frames_and_the_last_one_is_shown(
    counter: Any, pages: Pages
) -> None:
    counter.evaluate("""() => {
        window.frames_painted = 0;
        new MutationObserver(() => { frames_painted += 1; })
          .observe(document.querySelector('[data-region="card"]'), { childList: true });
    }""")
    began = time.monotonic()
    for number in range(300):
        pages.tell("ok", about="4000417025005", sku="milk", qty=-1, left=1000 - number, mode="sell")
        time.sleep(0.003)
    took_s = time.monotonic() - began

    counter.wait_for_function("() => document.querySelector('.left b').innerText === '701'")
    assert counter.evaluate("frames_painted") <= 25 * took_s + 3


def test_a_code_typed_while_the_core_does_not_answer_is_said_not_swallowed(
    counter: Any, pages: Pages
) -> None:
    counter.focus("#code")
    counter.keyboard.type("4000417025005")
    counter.keyboard.press("Enter")

    counter.wait_for_selector("#told:not([hidden])", timeout=90_000)

    assert "did not answer within 5 seconds" in counter.inner_text("#told")


def test_while_nothing_is_recorded_every_counter_page_says_so_until_it_is_over(
    page: Any, pages: Pages
) -> None:
    with connect(pages.folder / "telemetry.db", isolation_level=None) as file:
        why = "the disk is full: scans are NOT counted"
        file.execute("INSERT INTO link_state VALUES ('ledger', 'not_recording', ?, 0)", (why,))
    page.goto(f"{pages.address}/counter?station=stockroom")
    shown = page.inner_text(".card")
    page.goto(f"{pages.address}/fix")
    listed = page.inner_text("#repairs")
    with connect(pages.folder / "telemetry.db", isolation_level=None) as file:
        file.execute("DELETE FROM link_state WHERE name = 'ledger'")
    page.goto(f"{pages.address}/counter?station=stockroom")

    assert "the disk is full" in shown
    assert "the disk is full" in listed
    assert "the disk is full" not in page.inner_text(".card")
