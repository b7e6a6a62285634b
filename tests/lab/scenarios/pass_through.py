"""Pass-through on a USB device port of software: a gadget scanner in, the till's own keyboard out."""

import random
from collections.abc import Iterator

from tests.lab.bench import CODES, Bench, Result, open_shop, sold, wait_for_devices
from tests.lab.guest import Guest, wait_until
from tests.lab.scanners import wedge_device

SCANNER = "/dev/input/by-id/usb-Lab_Scanner_SN1-event-kbd"
SAID = "/var/lib/storekeeper/said.jsonl"
CHECK_CARD = "0123456789AZQWYMazqwym-_/:;@#+*.$%"
LAYOUTS = ("us", "fr")
SCANS, ECHOES = 1_000, 100
AT_MOST = 3.0
SEED = 20261124


def run(bench: Bench) -> Iterator[Result]:
    guest = bench.guest
    rng = random.Random(SEED)
    plug(guest)
    codes = [
        CODES[number % len(CODES)] if number % 2 else "".join(rng.choices(CHECK_CARD, k=8))
        for number in range(SCANS // len(LAYOUTS))
    ]
    echoed = []
    guest.run("systemctl stop storekeeper", 120)
    for layout in LAYOUTS:
        some = codes[: ECHOES // len(LAYOUTS)]
        gave = guest.call("gadgets.through", 600, codes=some, layout=layout, echo=True)
        if gave["codes"] != some:
            raise AssertionError(f"the echo itself is wrong: {gave['codes'][:3]}")
        echoed += gave["took_ms"]
    took, same = [], 0
    for layout in LAYOUTS:
        open_shop(guest, device(layout, "at-once"))
        wait_for_devices(guest, "till-scanner")
        before = len(sold(guest, "till-scanner"))
        gave = guest.call("gadgets.through", 1800, codes=codes, layout=layout)
        same += sum(typed == code for typed, code in zip(gave["codes"], codes, strict=False))
        took += gave["took_ms"]
        bench.say(f"{layout}: {len(gave['codes'])} typed, p95 {p95(gave['took_ms']):.0f} ms")
        if gave["codes"] != codes:
            at = next(
                (at for at, typed in enumerate(gave["codes"]) if typed != codes[at]), len(gave["codes"])
            )
            raise AssertionError(f"scan {at}: {gave['codes'][at:]}; said: {guest.run(f'tail -n 2 {SAID}')}")
        known = sum(code in CODES for code in codes)
        wait_until(lambda: len(sold(guest, "till-scanner")) - before == known, f"{known} sales", 60)  # noqa: B023
    ratio = p95(took) / p95(echoed)
    yield Result(
        f"pass-through on dummy_hcd: {SCANS} scans in {' and '.join(LAYOUTS)}, identical and in order",
        f"{same}",
        same == SCANS,
    )
    yield Result(
        "p95 from the scanner's Enter to the till's",
        f"{p95(took):.0f} ms; an echo of 20 lines {p95(echoed):.0f} ms; {ratio:.2f} x",
        ratio <= AT_MOST,
    )


def plug(guest: Guest) -> None:
    """Both ends of both keyboards, for as long as this guest runs."""
    if guest.try_run(f"test -e {SCANNER}")[0] != 0:
        guest.call("gadgets.make")
        wait_until(lambda: guest.try_run(f"test -e {SCANNER}")[0] == 0, "the scanner's keyboard", 60)


def device(layout: str, when: str) -> str:
    till = f'forward = "{when}"\nforward_to = "hidg:/dev/hidg0"\nforward_layout = "{layout}"\n'
    return f'{wedge_device("till-scanner", SCANNER)}layout = "{layout}"\nfeedback = "record:{SAID}"\n{till}'


def p95(took_ms: list[float]) -> float:
    return sorted(took_ms)[int(0.95 * len(took_ms))]
