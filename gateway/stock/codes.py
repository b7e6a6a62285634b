"""From what was scanned to the keys it may stand for; common codes without a library, for ingest's sake."""

from dataclasses import dataclass
from functools import lru_cache

GTIN_LENGTHS = (8, 12, 13, 14)
GS1_AIM = ("]C1", "]e0", "]d2", "]Q3")
IN_STORE = ("02", "2")  # EAN-13 prefixes whose digits carry a weight or price by a local rule


@dataclass(frozen=True, slots=True)
class Coded:
    """One meaning of a code. `code` is the look-up key (GTIN-14 or shop code), "" if there is an error."""

    code: str
    lot: str = ""
    expires_on: str | None = None
    serial: str | None = None
    grams: int | None = None
    count: int | None = None
    price_minor: int | None = None
    error: str = ""


@lru_cache(maxsize=4096)
def read(data: str, aim: str | None = None, region: str = "", template: str = "") -> tuple[Coded, ...]:
    """Every meaning that `data` can have, most likely first; never a guess when there are several."""
    if data.isascii() and data.isdigit() and not _needs_rules(data, aim):
        if len(data) in GTIN_LENGTHS:
            if check_digit_is_right(data):
                return (Coded(data.zfill(14)),)
            if len(data) > 8:
                return (Coded("", error=f"{data} has a wrong check digit"),)
        return (Coded(data),)
    if not _looks_like_gs1(data, aim):
        return (Coded(data),)
    from gateway.stock.gs1 import coded

    return coded(data, aim, region, template)


def check_digit_is_right(digits: str) -> bool:
    """GS1 General Specifications 7.9: weights 1, 3, 1 ... from the last digit back, modulo 10."""
    codes = digits.encode("ascii")  # "0" is 48: three times that and once that, per pair, are taken off again
    odd, even = codes[::-2], codes[-2::-2]
    return (sum(odd) + 3 * sum(even) - 48 * (len(odd) + 3 * len(even))) % 10 == 0


def check_digit_of(digits: str) -> str:
    """The digit that makes `digits` a valid GTIN."""
    return next(digit for digit in "0123456789" if check_digit_is_right(digits + digit))


def _needs_rules(data: str, aim: str | None) -> bool:
    """Codes whose meaning hangs on more than their digits."""
    return (
        aim in GS1_AIM
        or len(data) == 8  # GTIN-8 or UPC-E
        or (len(data) == 13 and data.startswith(IN_STORE))
        or (len(data) == 12 and data.startswith("2"))
        or len(data) > 14
    )


def _looks_like_gs1(data: str, aim: str | None) -> bool:
    return (
        aim in GS1_AIM
        or "\x1d" in data
        or data.startswith(("http://", "https://"))
        or (data.isascii() and data.isdigit())
        or (data[:2] in ("01", "02", "00") and len(data) >= 18)
    )
