"""Does this "scanner" type what no scanner types? Pure evidence; blocking or muting is the host's.

A programmed USB stick (BadUSB) opens menus and consoles: the Windows key, Ctrl+Alt, Alt+F2. A broken or
hostile device floods. A scanner does neither, however fast or slow somebody scans with it.
"""

from collections import deque

from drivers.contract import Health

SCANS_MAX, SCANS_WITHIN_US = 100, 2_000_000  # nobody reads 50 codes a second by hand
ODD_KEYS_MAX = 5  # arrows, Escape, function keys: a programmed suffix has one or two of them, after each code
QUIET_US = 10_000_000  # one report an episode

SYSTEM_KEYS = frozenset({99, 113, 114, 115, 116, 125, 126, 127, 139, 142, 143, 152, 172, 217})
FUNCTION_KEYS = frozenset({*range(59, 69), 87, 88, *range(183, 195)})


class Guard:
    def __init__(self) -> None:
        self._scan_times_us: deque[int] = deque(maxlen=SCANS_MAX)
        self._odd_keys = 0
        self._quiet_until_us = 0

    def scanned(self, at_us: int) -> Health | None:
        """A code was completed at `at_us` of the kernel's clock; 0 when that is not known."""
        self._odd_keys = 0
        times = self._scan_times_us
        full = len(times) == SCANS_MAX
        first_us = times[0] if full else 0
        times.append(at_us)
        if full and 0 < at_us - first_us < SCANS_WITHIN_US:
            return self._suspect(at_us, f"a flood: {SCANS_MAX} codes within {SCANS_WITHIN_US // 10**6} s")
        return None

    def odd_key(self, code: int, at_us: int, *, ctrl: bool, alt: bool) -> Health | None:
        """A key that stands for no character was pressed."""
        if code in SYSTEM_KEYS or (ctrl and alt) or (alt and code in FUNCTION_KEYS):
            chord = f"{'Ctrl+' if ctrl else ''}{'Alt+' if alt else ''}key {code}"
            return self._suspect(at_us, f"{chord}: no scanner presses that")
        self._odd_keys += 1
        if self._odd_keys == ODD_KEYS_MAX:
            return self._suspect(at_us, f"{ODD_KEYS_MAX} control keys without a code between them")
        return None

    def _suspect(self, at_us: int, why: str) -> Health | None:
        if self._quiet_until_us and at_us < self._quiet_until_us:
            return None
        self._quiet_until_us = at_us + QUIET_US
        return Health(status="blocked_suspect", error=why)
