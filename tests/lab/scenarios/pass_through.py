"""Pass-through on a USB device port of software: a gadget scanner in, the till's own keyboard out, 20 kills."""

import random
import re
from collections import Counter
from collections.abc import Iterator

from tests.lab.bench import CODES, Bench, Result, open_shop, sold, wait_for_devices
from tests.lab.guest import Guest, wait_until
from tests.lab.scanners import wedge_device

SCANNER = "/dev/input/by-id/usb-Lab_Scanner_SN1-event-kbd"
SAID = "/var/lib/storekeeper/said.jsonl"
CHECK_CARD = "0123456789AZQWYMazqwym-_/:;@#+*.$%"
LAYOUTS = ("us", "fr")
SCANS, ECHOES, KILLS = 1_000, 100, 20
AT_MOST = 3.0
SEED = 20261124


def run(bench: Bench) -> Iterator[Result]:
    guest = bench.guest
    rng = random.Random(SEED)
    guest.call("gadgets.make")
    wait_until(lambda: guest.try_run(f"test -e {SCANNER}")[0] == 0, "the scanner's keyboard", 60)
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
    yield killed(guest)


def killed(guest: Guest) -> Result:
    guest.run(f"rm -f {SAID}")
    open_shop(guest, device("us", "at-once"))
    wait_for_devices(guest, "till-scanner")
    before = Counter(sold(guest, "till-scanner"))
    gave = guest.call("gadgets.through_kills", 1200, codes=CODES, layout="us", kills=KILLS, seed=SEED)
    booked = Counter(sold(guest, "till-scanner")) - before
    typed = Counter(gave["typed"])
    said = guest.run(f"cat {SAID} 2>/dev/null || true")
    doubtful = sum(int(count) for count in re.findall(r"(\d+) scans? may ", said))
    unsaid = max(0, (typed - booked).total() + (booked - typed).total() - doubtful)
    back_s = sorted(gave["back_s"])
    return Result(
        f"{KILLS} kills of driver and daemon while scans flow",
        f"{len(gave['sent'])} scanned, {booked.total()} booked, {typed.total()} typed; typed and not booked"
        f" {(typed - booked).total()}, booked and not typed {(booked - typed).total()}, said to be in doubt {doubtful};"
        f" again after {back_s[len(back_s) // 2]:.1f} s (median)",
        unsaid == 0 and len(back_s) == KILLS,
    )


def device(layout: str, when: str) -> str:
    till = f'forward = "{when}"\nforward_to = "hidg:/dev/hidg0"\nforward_layout = "{layout}"\n'
    return f'{wedge_device("till-scanner", SCANNER)}layout = "{layout}"\nfeedback = "record:{SAID}"\n{till}'


def p95(took_ms: list[float]) -> float:
    return sorted(took_ms)[int(0.95 * len(took_ms))]
