"""Whom the owner has confirmed, and what becomes of a device that types what no scanner types. Pure.

What is plugged in is known by its maker's, model's and, when it has a true one, serial number. One that nobody has
confirmed is blocked until a person frees it; it stays open and grabbed, so that its keys reach nobody else, and
is not decoded. A confirmed one is only muted for a moment: its shop goes on.
"""

MUTED_S = 10.0
FREE_CODE = "SK/FREE"  # scanned with a muted device: it counts again at once


class Trust:
    """`confirmed`: the hardware that the owner said is his, None when nobody said so. `blocked`: likewise."""

    def __init__(self, confirmed: str | None = None, blocked: str | None = None) -> None:
        self._confirmed = confirmed
        self._blocked = blocked
        self.hardware = ""  # that is plugged in now
        self._muted_until_s = 0.0

    def plugged(self, hardware: str) -> None:
        """What the device's port leads to now: "0c2e:0b61#18012B0F2A"; "" when the kernel does not say."""
        self.hardware = hardware

    @property
    def is_blocked(self) -> bool:
        return self._blocked == self.hardware != self._confirmed

    def hushed(self, now_s: float) -> bool:
        """Whether nothing from it counts just now."""
        return self.is_blocked or now_s < self._muted_until_s

    def suspect(self, why: str, now_s: float) -> tuple[str, str]:
        """It typed what no scanner types: its state from now on, and the remedy."""
        if self._confirmed == self.hardware:
            self._muted_until_s = now_s + MUTED_S
            return (
                "muted",
                f"{why}. Nothing from it counts for {MUTED_S:.0f} s; scan {FREE_CODE} to end it now",
            )
        self._blocked = self.hardware
        return "blocked", self.why_blocked(why)

    def why_blocked(self, why: str = "it typed what no scanner types") -> str:
        known = f" ({self.hardware})" if self.hardware else ""
        return f"{why}. Nothing from it{known} is read until a person says that it is the shop's"

    def free(self) -> None:
        """A person says: let it count again."""
        self._blocked = None
        self._muted_until_s = 0.0

    def confirm(self) -> None:
        """A person says: what is plugged in now is ours."""
        self._confirmed = self.hardware
        self.free()
