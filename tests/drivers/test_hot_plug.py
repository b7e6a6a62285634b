"""A scanner is pulled out in the middle of a code and plugged in again, over and over, while it is used.

50 times in `make test`, 1,000 in `make soak`: back within two seconds, no half code, no descriptor and no
memory left behind.
"""

from pathlib import Path
from statistics import median
from time import monotonic

import pytest

from drivers.contract import Scan
from tests.drivers.desk import Desk
from tests.drivers.pty_peer import PtyPeer

BACK_WITHIN_S = 2.0
WARM_UP_CYCLES = 10
GROWTH_KB_MAX = 1_024


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_kb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4


def cycles(folder: Path, count: int) -> str:
    """Plug, scan, pull in mid-code, `count` times; returns the figures."""
    port = folder / "scanner"
    peer = PtyPeer(port, lambda request: b"")
    desk = Desk(folder, "serial_scanner", port=str(port))
    pid, sent, back_s = desk._process.pid, list[str](), list[float]()
    open_then = kb_then = open_now = kb_now = 0
    try:
        for number in range(count):
            peer.plug()
            plugged_s = monotonic()
            desk.serve(lambda desk, number=number: desk.states.count("running") > number)  # type: ignore[misc]
            back_s.append(monotonic() - plugged_s)
            for digit in range(5):
                sent.append(f"{number:07d}{digit}")
                peer.send(f"{sent[-1]}\r".encode())
            desk.serve(lambda desk: len(desk.of(Scan)) == len(sent))
            open_now, kb_now = descriptors(pid), resident_kb(pid)
            if number == WARM_UP_CYCLES:
                open_then, kb_then = open_now, kb_now
            peer.send(b"59012341")
            peer.unplug()
            desk.serve(lambda desk: desk.states[-1] == "waiting")
    finally:
        peer.unplug()
        desk.close()

    assert [scan.data for scan in desk.of(Scan)] == sent  # every code once, in order, and no half one
    assert max(back_s[1:]) < BACK_WITHIN_S
    assert open_now <= open_then
    assert kb_now - kb_then < GROWTH_KB_MAX
    typical_ms, longest_ms = 1000 * median(back_s[1:]), 1000 * max(back_s[1:])
    return (
        f"{count} unpluggings: back after {typical_ms:.0f} ms (median), {longest_ms:.0f} ms (longest);"
        f" {len(sent)} scans, none lost, none cut; {kb_now - kb_then} kB grown"
    )


def test_a_scanner_is_back_after_each_of_fifty_unpluggings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = cycles(tmp_path, 50)

    with capsys.disabled():
        print(f"\n{figures}")


@pytest.mark.soak
def test_a_scanner_is_back_after_each_of_a_thousand_unpluggings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = cycles(tmp_path, 1_000)

    with capsys.disabled():
        print(f"\n{figures}")
