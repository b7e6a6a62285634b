"""20 kills of driver and daemon while scans are typed on to the till: no difference is left unsaid, no code is cut."""

import re
from collections import Counter
from collections.abc import Iterator

from tests.lab.bench import CODES, Bench, Result, open_shop, sold, wait_for_devices
from tests.lab.scenarios.pass_through import SAID, SEED, device, plug

KILLS = 20


def run(bench: Bench) -> Iterator[Result]:
    guest = bench.guest
    plug(guest)
    guest.run(f"rm -f {SAID}")
    open_shop(guest, device("us", "at-once"))
    wait_for_devices(guest, "till-scanner")
    before = Counter(sold(guest, "till-scanner"))
    gave = guest.call("gadgets.through_kills", 1200, codes=CODES, layout="us", kills=KILLS, seed=SEED)
    booked = Counter(sold(guest, "till-scanner")) - before
    typed = Counter(gave["typed"])
    said = guest.run(f"cat {SAID} 2>/dev/null || true")
    doubtful = sum(int(count) for count in re.findall(r"(\d+) scans? may ", said))
    differences = (typed - booked) + (booked - typed)
    if differences.total() > doubtful:
        bench.say(f"not told: typed {typed - booked}, booked {booked - typed}; said: {said}")
    back_s = sorted(gave["back_s"])
    yield Result(
        f"{KILLS} kills of driver and daemon while scans flow",
        f"{len(gave['sent'])} scanned, {booked.total()} booked, {typed.total()} typed; typed and not booked"
        f" {(typed - booked).total()}, booked and not typed {(booked - typed).total()}, said to be in doubt {doubtful};"
        f" again after {back_s[len(back_s) // 2]:.1f} s (median)",
        differences.total() <= doubtful and len(back_s) == KILLS and set(typed) <= set(CODES),
    )
