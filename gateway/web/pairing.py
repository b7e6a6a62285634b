"""Who may open the pages from the shop's network: phones that were paired by a code shown on the box itself.

There is no password to be guessed or shared. A code is made when somebody at the box asks for one, is good once,
for ten minutes and five tries; a paired phone keeps a secret of its own, of which only the digest is kept here.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

CODE_DIGITS = 6
CODE_S = 600.0
TRIES_MAX = 5  # then the code is void: at most 5 of 1,000,000 for who guesses
PHONES_MAX = 50
SESSION_S = 90 * 86_400
NAME_CHARS_MAX = 40


class Phone(msgspec.Struct, frozen=True):
    """One paired phone. `digest` is the SHA-256 of its secret; times in seconds UTC."""

    id: str
    name: str
    digest: str
    since_s: float


@dataclass(slots=True)
class _Code:
    digits: str
    until_s: float
    tries_left: int = TRIES_MAX


class Pairing:
    """`path` holds the paired phones. `wall_s` tells dates, `now_s` how long a code is good."""

    def __init__(self, path: Path, wall_s: Callable[[], float], now_s: Callable[[], float]) -> None:
        self._path = path
        self._wall_s = wall_s
        self._now_s = now_s
        self._code: _Code | None = None
        self._phones = self._kept()

    @property
    def phones(self) -> list[Phone]:
        """The newest first, without those whose time is over."""
        oldest_s = self._wall_s() - SESSION_S
        return [phone for phone in reversed(self._phones) if phone.since_s > oldest_s]

    def new_code(self) -> str:
        """For a person at the box; the code before it is void."""
        digits = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        self._code = _Code(digits, self._now_s() + CODE_S)
        return digits

    @property
    def code(self) -> str:
        """The code that is good just now, or ""."""
        if self._code is None or self._now_s() > self._code.until_s:
            return ""
        return self._code.digits

    def pair(self, typed: str, name: str) -> str | None:
        """The phone's secret when the code is right; it is used up by that. None: wrong, void or over."""
        if not self.code or self._code is None:
            return None
        self._code.tries_left -= 1
        right = hmac.compare_digest("".join(typed.split()).encode(), self._code.digits.encode())
        if right or self._code.tries_left == 0:
            self._code = None
        if not right:
            return None
        secret = secrets.token_urlsafe(32)
        shown = " ".join(name.split())[:NAME_CHARS_MAX] or "Phone"
        phone = Phone(secrets.token_hex(4), shown, _digest(secret), self._wall_s())
        self._keep([*self._phones, phone][-PHONES_MAX:])
        return secret

    def knows(self, secret: str) -> bool:
        digest = _digest(secret)
        return any(hmac.compare_digest(phone.digest, digest) for phone in self.phones)

    def forget(self, phone_id: str) -> None:
        """From now on this phone is a stranger; "" means all of them."""
        self._keep([phone for phone in self._phones if phone_id and phone.id != phone_id])

    def _kept(self) -> list[Phone]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Phone])
        except (OSError, msgspec.DecodeError):
            return []  # nobody is paired: the safe side

    def _keep(self, phones: list[Phone]) -> None:
        self._phones = phones
        fresh = self._path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(phones))
        fresh.replace(self._path)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
